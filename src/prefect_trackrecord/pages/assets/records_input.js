// Keys, clicks and fields: what people do with the page.

function key(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
  const typing = e.target.matches("input, select, textarea");
  if (e.key === "Escape") {
    byId("when").open = false;
    if (e.target.id === "q" && state.q) change({ q: "" });
    else if (e.target.id === "q") e.target.blur();
    else if (root.classList.contains("opened")) back();
    return;
  }
  if (typing && !(e.target.id === "q" && e.key === "ArrowDown")) return;
  const inBox = e.target.closest(".list, pre, .long");
  if (e.key === "/") { e.preventDefault(); byId("q").focus(); byId("q").select(); }
  else if (e.key === "?") byId("keys").showModal();
  else if (e.key === "j" || e.key === "k") open(list.next(e.key === "j" ? 1 : -1), true);
  else if ((e.key === "ArrowDown" || e.key === "ArrowUp") && !inBox && !plain) { e.preventDefault(); open(list.next(e.key === "ArrowDown" ? 1 : -1), false); }
}

function back() {
  root.classList.remove("opened");
  byId("back").hidden = true;
  state.record = "";
  writeAddress();
  list.link(shownRow)?.focus();
}

function listen() {
  let waiting = 0;
  byId("q").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => change({ q: byId("q").value }), index.id.length > 2000 ? 120 : 30); });
  byId("q").addEventListener("focus", () => { if (!plain && state.in !== "id" && index.id.length <= 20000) readAll(); }, { once: true });
  byId("tools").addEventListener("submit", (e) => { e.preventDefault(); change({ q: byId("q").value }); });
  byId("ids").addEventListener("change", (e) => change({ in: e.target.checked ? "id" : "" }));
  for (const name of ["status", "type", "outcome", "sort", "from", "to"]) byId(name).addEventListener("change", (e) => change({ [name]: e.target.value }));
  byId("clear").addEventListener("click", clearFilters);
  byId("nothing-clear").addEventListener("click", clearFilters);
  byId("csv").addEventListener("click", download);
  byId("help").addEventListener("click", () => byId("keys").showModal());
  byId("theme").addEventListener("click", () => { const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % 3]; memory.set(next); setTheme(next); });
  byId("filters").addEventListener("click", (e) => e.target.setAttribute("aria-expanded", String(byId("selects").classList.toggle("open"))));
  byId("back")?.addEventListener("click", back);
  byId("shot-close").addEventListener("click", () => byId("shot").close());
  byId("groups-more")?.addEventListener("click", (e) => {
    const all = byId("groups").classList.toggle("all"), { all: most, of } = e.target.dataset;
    attrs(e.target, { "aria-expanded": String(all) }).textContent = all ? "Show fewer" : "Show more";
    byId("groups-count").textContent = `Showing ${all ? number(Number(most)) : 5} of ${of} groups`;
  });
  document.addEventListener("click", (e) => {
    const hit = (selector) => e.target.closest(selector);
    const button = hit(".card, .v, .group"), link = hit(".shot"), head = hit("caption button");
    if (head) fold(head);
    else if (button?.matches(".card")) {
      const name = button.dataset.status === "" ? "" : index.statuses[button.dataset.status][0] || "---";
      if (name === "") clearFilters();
      else change({ status: state.status === name ? "" : name });
    } else if (button?.matches(".v")) change({ outcome: state.outcome === button.dataset.outcome ? "" : button.dataset.outcome });
    else if (button) change({ error: state.error === button.dataset.error ? "" : button.dataset.error });
    else if (link && !e.ctrlKey && !e.metaKey) { e.preventDefault(); showPicture(link); }
    else if (e.target.id === "shot") e.target.close();
    if (!hit("#when")) byId("when").open = false;
  });
  document.addEventListener("keydown", key);
  document.addEventListener("keydown", (e) => { if (e.key === "Enter" && e.target.matches?.(".shot[role]")) showPicture(e.target); });
  addEventListener("beforeprint", preparePrint);
  addEventListener("hashchange", () => {
    // The link that skips to the records is no filter.
    if (location.hash === "#records") { known = location.hash; return; }
    readAddress();
    apply();
    openLinked();
  });
}
