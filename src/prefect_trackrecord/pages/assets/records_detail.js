// One record's story from its view. templates/records/record.html makes the same without script.

const cutNote = (shown, total, what) => el("span", "cut", `Showing ${number(shown)} of ${number(total)} ${what}`);

function errorName(kind, code, type) {
  const parts = [];
  if (kind) parts.push(el("span", `tag tag-${kind === "business" ? "business" : "application"}`, kind), " ");
  if (code) parts.push(el("code", "", code), " ");
  if (type) parts.push(el("strong", "", type), " ");
  return parts;
}

/** One value in a cell of its own. */
function cell(v) {
  if (v === null || v === undefined) return el("td", "n", "—");
  if (v === "") return el("td", "n", "empty text");
  const text = typeof v === "string" ? v : v.s ?? v.j ?? v.r;
  // Length in characters, as Python counts them.
  const length = text.length > 400 ? [...text].length : text.length;
  const body = length > 400 ? attrs(el("div", "long", text), { tabindex: 0, role: "group", "aria-label": "Long value" }) : text;
  const node = el("td", typeof v === "string" || v.s !== undefined ? "" : "m", body);
  if (v.t !== undefined) node.append(" ", el("span", "tag", `${v.t || "object"}, kept as text`));
  if (v.n !== undefined) node.append(" ", cutNote(length, v.n, "characters"));
  return node;
}

function technical(name, text) {
  const pre = attrs(el("pre", "", text), { tabindex: 0, "aria-label": name === "Traceback" ? name : "Technical details" });
  return el("details", "tech", el("summary", "", name), pre);
}

function share(parts) {
  const bar = svg("svg", { class: "share", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  const total = parts.reduce((sum, part) => sum + part[2], 0);
  let at = 0;
  for (const [, color, size] of parts) {
    const width = (size * 1000) / total;
    bar.append(tint(svg("rect", { x: at.toFixed(1), width: width.toFixed(1), height: 10 }), color));
    at += width;
  }
  return bar;
}

function pictureNodes(img) {
  if (img.p === undefined) {
    const name = img.href ? attrs(el("a", "", img.name), { href: img.href }) : img.name;
    return el("p", "noshot", "Picture ", name, `: ${img.why}`);
  }
  const picture = attrs(el("img"), { alt: `Picture ${img.name}`, decoding: "async" });
  pictureSource(img.p).then((src) => { picture.src = src; });
  return el("div", "", attrs(el("a", "shot", picture), { href: img.href || null, "data-name": img.name, "data-thumb": !!img.thumb }));
}

function diffNodes(event) {
  // Where there was nothing before, a column for it would only take room.
  const first = event.f.every((row) => row[2] === null);
  const rows = event.f.map(([path, kind, from, to, place]) => {
    const head = el("th", "", path || "(value)");
    if (place) head.append(" ", el("span", "tag", place));
    return el("tr", kind === (first ? "added" : "changed") ? "" : kind[0], head, first ? null : cell(from), cell(to));
  });
  if (!first) rows.unshift(el("tr", "", ...["Field", "From", "To"].map((name) => el("th", "", name))));
  const nodes = [el("table", first ? "f" : "", el("caption", "", `Fields Updated (${number(event.fn || event.f.length)})`), el("tbody", "", ...rows))];
  if (event.fn) nodes.push(el("p", "cut", cutNote(event.f.length, event.fn, "fields")));
  return nodes;
}

function eventNode(event) {
  const item = el("li", event.k === "s" ? "s" : "");
  if (event.t !== undefined || event.dt) {
    item.append(el("i", "", event.t === undefined ? null : event.t || "no time", event.dt ? el("small", "", `+${duration(event.dt)}`) : null));
  }
  if (event.k === "s") {
    tint(item, event.n[1]).append(el("p", "", el("u", "", "Status Update: "), badge(event.o), " → ", badge(event.n, true)));
  } else {
    item.append(el("p", "", event.a || "Trace"));
  }
  if (event.r) item.append(el("p", "", event.r));
  if (event.img) item.append(pictureNodes(event.img));
  if (event.f) item.append(...diffNodes(event));
  for (const note of event.notes || []) item.append(el("p", "note-of", note));
  return item;
}

function rowsOf(title, rows) {
  const items = rows.map(([name, outcome, ms, error]) => {
    const item = el("li", "", el("b", "", String(name)));
    if (outcome) item.append(` ${outcome}`);
    if (ms !== null) item.append(" ", el("span", "muted", duration(ms)));
    if (error) item.append(" ", bdi(error));
    return item;
  });
  return el("div", "rows-of", el("h4", "", title), el("ul", "", ...items));
}

function metaNode(view) {
  const meta = el("p", "", view.type ? `${view.type} · ` : null);
  meta.append(plural(view.evn || view.ev.length, "event", "events"));
  if (view.a !== null) {
    const sameDay = Math.floor(view.a / 864e5) === Math.floor(view.b / 864e5);
    const end = Math.floor(view.b / 1000) !== Math.floor(view.a / 1000) ? ` – ${sameDay ? clock(view.b).slice(11) : clock(view.b)}` : "";
    meta.append(` · ${clock(view.a)}${end} UTC`, view.b > view.a ? ` · ${duration(view.b - view.a)}` : "");
  }
  return meta;
}

function errorNode(err) {
  const box = el("div", "err", el("p", "", ...errorName(err.kind, err.code, err.type)));
  if (err.message) box.append(el("p", "err-text", err.message));
  if (err.traceback) box.append(technical("Traceback", err.traceback));
  return box;
}

function timeInStatus(parts) {
  const items = parts.map(([name, color, seconds]) =>
    el("li", "", tint(el("i", "o"), color), `${name || "---"} `, el("b", "", duration(seconds * 1000))));
  return el("div", "tis", el("h4", "", "Time in status"), parts.length > 1 ? share(parts) : null, el("ul", "", ...items));
}

/** The whole record. */
function recordNode(view, row) {
  const node = tint(el("article", view.cat === "failed" ? "bad" : "", el("h3", "", view.id || "(no id)"), badge(view.st, true), metaNode(view)), view.st[1]);
  for (const note of view.notes || []) node.append(el("p", "note-of", note));
  if (view.err) node.append(errorNode(view.err));
  if (view.tis) node.append(timeInStatus(view.tis));
  if (view.att) node.append(rowsOf("Attempts", view.att.map(([n, outcome, error, ms]) => [n, outcome, ms, error])));
  if (view.steps) node.append(rowsOf("Steps", view.steps.map(([n, outcome, ms, error]) => [n || "step", outcome, ms, error])));
  if (view.evn) node.append(el("p", "", cutNote(view.ev.length, view.evn, "events: the first ones and the latest")));
  if (!view.ev.length) node.append(el("p", "muted", "No traces yet."));
  else {
    const line = el("ol");
    for (const event of view.ev) {
      if (event.day) line.append(el("li", "day", event.day));
      line.append(eventNode(event));
    }
    node.append(line);
  }
  return completed(node, row, view.id, view.rec, view.ev.map((event) => event.tech));
}

/** What only the script adds: a name, the link to the record, its present values, differences that fold, places in the code. */
function completed(node, row, id, rec, techs) {
  const [head, status] = node.children;
  head.id = `h-${row}`;
  attrs(node, { id: `r-${row}`, "data-row": row, tabindex: -1, "aria-labelledby": head.id });
  status.after(attrs(el("a", "perma", "#"), {
    href: `#record=${encodeURIComponent(id)}`, "aria-label": "Link to this record", title: "Link to this record",
  }));
  const line = node.querySelector(":scope > ol");
  if (rec) {
    const rows = rec.map(([name, value]) => el("tr", "", el("th", "", name || "record"), cell(value)));
    const box = el("details", "now", el("summary", "", "Current values ", el("span", "n", number(rec.length))), el("table", "", el("tbody", "", ...rows)));
    node.insertBefore(box, line || node.querySelector(":scope > .muted"));
  }
  if (!line) return node;
  let n = 0;
  for (const item of line.children) {
    if (item.className === "day") continue;
    for (const child of item.children) {
      if (child.tagName === "TABLE") child.caption.replaceChildren(attrs(el("button", "", ...child.caption.childNodes), { type: "button", "aria-expanded": "true" }));
    }
    const text = techs[n++];
    if (text) item.append(technical("Technical Details", text));
  }
  return node;
}

/** Fold a table of differences, or open it again. */
function fold(button) {
  const open = button.getAttribute("aria-expanded") === "false";
  attrs(button, { "aria-expanded": String(open) }).closest("table").classList.toggle("shut", !open);
}

/** Pictures open in their full size; a reduced one says so. */
function linkPictures(within) {
  for (const link of within.querySelectorAll(".shot")) {
    if (!link.hasAttribute("href")) attrs(link, { role: "button", tabindex: 0 });
    link.firstElementChild.addEventListener("error", () => link.replaceWith(el("p", "noshot", `Picture ${link.dataset.name}: the file is damaged`)));
  }
}

function showPicture(link) {
  const href = link.getAttribute("href");
  const { src, alt } = link.firstElementChild;
  byId("shot-box").replaceChildren(attrs(el("img"), { src, alt }));
  byId("shot-text").textContent = link.dataset.name + (link.hasAttribute("data-thumb") ? " (reduced)" : "");
  byId("shot-open").hidden = !href;
  if (href) byId("shot-open").href = href;
  byId("shot").showModal();
}
