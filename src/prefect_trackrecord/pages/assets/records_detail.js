// One record's story from its view. templates/records/record.html makes the same without script.

const SIGNS = { added: "+", removed: "−", changed: "~", moved: "↕" };
const time = (ms, text) => attrs(el("time", "", text), { datetime: stamp(ms) });
const cutNote = (shown, total, what) => el("span", "cut", `Showing ${number(shown)} of ${number(total)} ${what}`);

function errorName(kind, code, type) {
  const parts = [];
  if (kind) parts.push(el("span", `tag tag-${kind === "business" ? "business" : "application"}`, kind), " ");
  if (code) parts.push(el("code", "", code), " ");
  if (type) parts.push(el("strong", "", type), " ");
  return parts;
}

/** One value in a cell of its own. */
function cell(v, side) {
  if (v === null || v === undefined) return el("td", `${side} nil`, "—");
  if (v === "") return el("td", `${side} nil`, "empty text");
  const text = typeof v === "string" ? v : v.s ?? v.j ?? v.r;
  // Length in characters, as Python counts them.
  const length = text.length > 400 ? [...text].length : text.length;
  const body = length > 400 ? attrs(el("div", "long", text), { tabindex: 0, role: "group", "aria-label": "Long value" }) : text;
  const node = el("td", typeof v === "string" || v.s !== undefined ? side : `${side} mono`, body);
  if (v.t !== undefined) node.append(" ", el("span", "tag", `${v.t || "object"}, kept as text`));
  if (v.n !== undefined) node.append(" ", cutNote(length, v.n, "characters"));
  return node;
}

function table(heads, rows) {
  const head = el("tr", "", ...heads.map((name) => attrs(el("th", "", name), { scope: "col" })));
  return el("table", "", el("thead", "", head), el("tbody", "", ...rows));
}

function technical(name, text) {
  const pre = attrs(el("pre", "", text), { tabindex: 0, "aria-label": name === "Traceback" ? name : "Technical details" });
  return el("details", "tech", el("summary", "", name), pre);
}

function share(parts) {
  const bar = svg("svg", { class: "share", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  const total = parts.reduce((sum, part) => sum + part[1], 0);
  let at = 0;
  for (const [color, size] of parts) {
    const width = (size * 1000) / total;
    bar.append(svg("rect", { x: at.toFixed(2), y: 0, width: width.toFixed(2), height: 10, fill: color || null }));
    at += width;
  }
  return bar;
}

function pictureNodes(img) {
  const src = img.src ?? (img.p === undefined ? null : pictureSource(img.p));
  if (!src) {
    const name = img.href ? attrs(el("a", "", img.name), { href: img.href }) : img.name;
    return el("p", "noshot", "Picture ", name, `: ${img.why}`);
  }
  const picture = attrs(el("img"), { src, alt: `Picture ${img.name}`, decoding: "async" });
  return attrs(el("a", "shot", picture), { href: img.href || null, "data-name": img.name, "data-thumb": !!img.thumb });
}

function diffNodes(event) {
  const rows = event.f.map(([path, kind, from, to, place]) => {
    const sign = attrs(el("span", "sign", SIGNS[kind]), { role: "img", "aria-label": kind, title: kind });
    const head = attrs(el("th", "", sign, " ", path || "(value)"), { scope: "row" });
    if (place) head.append(" ", el("span", "tag", place));
    return el("tr", `d-${kind}`, head, cell(from, "old"), cell(to, "new"));
  });
  const box = el("details", "diff", el("summary", "", `Fields Updated (${number(event.fn || event.f.length)})`),
    table(["Field", "From", "To"], rows));
  if (event.fn) box.append(el("p", "", cutNote(event.f.length, event.fn, "fields")));
  box.open = true;
  return box;
}

function eventNode(event) {
  const at = el("p", "at", event.ms === undefined ? el("span", "", event.t || "no time") : time(event.ms, stamp(event.ms).slice(11, 19)));
  if (event.dt) at.append(" ", el("span", "dt", `+${duration(event.dt)}`));
  const what = el("div", "what");
  if (event.k === "s") {
    what.append(el("p", "act to", hidden("Status Update: "), badge(event.o),
      attrs(el("span", "arrow", "→"), { "aria-hidden": "true" }), hidden(" to "), badge(event.n)));
  } else {
    what.append(el("p", "act", event.a || "Trace"));
  }
  if (event.r) what.append(el("p", "why", event.r));
  if (event.img) what.append(pictureNodes(event.img));
  if (event.f) what.append(diffNodes(event));
  for (const note of event.notes || []) what.append(el("p", "mark-note", note));
  if (event.tech) what.append(technical("Technical Details", event.tech));
  const item = el("li", `ev ev-${event.k}`, at, what);
  return event.k === "s" ? tint(item, event.n[1]) : item;
}

function rowsOf(title, rows) {
  const items = rows.map(([name, outcome, ms, error]) => {
    const item = el("li", "", el("b", "", String(name)));
    if (outcome) item.append(" ", el("span", "", outcome));
    if (ms !== null) item.append(" ", el("span", "muted", duration(ms)));
    if (error) item.append(" ", bdi(error));
    return item;
  });
  return el("div", "rows-of", el("h4", "", title), el("ul", "", ...items));
}

function metaNode(view) {
  const events = view.evn || view.ev.length;
  const meta = el("p", "meta");
  if (view.type) meta.append(el("span", "", view.type), " ");
  meta.append(el("span", "", plural(events, "event", "events")));
  if (view.a !== null) {
    const span = el("span", "", time(view.a, clock(view.a)));
    if (view.b > view.a) {
      const sameDay = Math.floor(view.a / 864e5) === Math.floor(view.b / 864e5);
      span.append(" – ", time(view.b, sameDay ? clock(view.b).slice(11) : clock(view.b)));
    }
    span.append(" UTC");
    meta.append(" ", span);
    if (view.b > view.a) meta.append(" ", el("span", "", duration(view.b - view.a)));
  }
  return meta;
}

function errorNode(err) {
  const box = el("div", "err", el("p", "err-name", ...errorName(err.kind, err.code, err.type)));
  if (err.message) box.append(el("p", "err-text", err.message));
  if (err.traceback) box.append(technical("Traceback", err.traceback));
  return box;
}

function timeInStatus(parts) {
  const items = parts.map(([name, color, seconds]) =>
    el("li", "", dot(color), bdi(name || "---"), " ", el("b", "", duration(seconds * 1000))));
  return el("div", "tis", el("h4", "", "Time in status"), share(parts.map((p) => [p[1], p[2]])), el("ul", "", ...items));
}

/** The whole record. */
function recordNode(view, row) {
  const title = attrs(el("h3", "", bdi(view.id || "(no id)")), { id: `h-${row}` });
  const node = attrs(el("article", `record c-${view.cat}`), { id: `r-${row}`, "data-row": row, tabindex: -1, "aria-labelledby": `h-${row}` });
  tint(node, view.st[1]);
  const link = attrs(el("a", "perma js-only", "#"), {
    href: `#record=${encodeURIComponent(view.id)}`, "aria-label": "Link to this record", title: "Link to this record",
  });
  node.append(el("header", "rec-head", el("div", "rec-title", title, badge(view.st), link), metaNode(view)));
  for (const note of view.notes || []) node.append(el("p", "mark-note", note));
  if (view.err) node.append(errorNode(view.err));
  if (view.tis) node.append(timeInStatus(view.tis));
  if (view.att) node.append(rowsOf("Attempts", view.att.map(([n, outcome, error, ms]) => [n, outcome, ms, error])));
  if (view.steps) node.append(rowsOf("Steps", view.steps.map(([n, outcome, ms, error]) => [n || "step", outcome, ms, error])));
  if (view.rec) {
    const rows = view.rec.map(([name, value]) =>
      el("tr", "", attrs(el("th", "", name || "record"), { scope: "row" }), cell(value, "now")));
    node.append(el("details", "now", el("summary", "", "Current values ", el("span", "n", number(view.rec.length))),
      table(["Field", "Value"], rows)));
  }
  if (view.evn) node.append(el("p", "", cutNote(view.ev.length, view.evn, "events: the first ones and the latest")));
  if (!view.ev.length) {
    node.append(el("p", "muted", "No traces yet."));
    return node;
  }
  const line = el("ol", "line");
  for (const event of view.ev) {
    if (event.day) line.append(el("li", "day", event.day));
    line.append(eventNode(event));
  }
  node.append(el("h4", "hidden", "Time line"), line);
  return node;
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
