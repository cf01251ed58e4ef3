// The page itself: filters kept in the address, the list that follows them, opening a record.

const DEFAULTS = { q: "", in: "", status: "", type: "", outcome: "", error: "", from: "", to: "", sort: "", record: "" };
const FILTERS = ["q", "status", "type", "outcome", "error", "from", "to"];
const state = { ...DEFAULTS };
let index, list, plain, orders = {}, piles = [], reading = null, shownRow = -1, openToken = 0, articles = [];

/** The address as this page last read or wrote it. */
let known = location.hash;

function readAddress() {
  known = location.hash;
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(DEFAULTS)) state[name] = clean(given.get(name) || "");
}

let writing = 0;

/** The address follows a moment later: the browser asks another process for it, and the list must not wait. */
function writeAddress() {
  clearTimeout(writing);
  writing = setTimeout(writeAddressNow);
}

function writeAddressNow() {
  // Somebody went elsewhere meanwhile, and `hashchange` is on its way: theirs stands.
  if (location.hash !== known) return;
  const parts = Object.keys(DEFAULTS).filter((name) => state[name]).map((name) => `${name}=${encodeURIComponent(state[name])}`);
  const hash = parts.length ? `#${parts.join("&")}` : "";
  if (hash !== known) history.replaceState(null, "", hash || location.href.split("#")[0]);
  known = location.hash;
}

/** All rows in the order chosen; each order is made once. */
function ordered() {
  if (orders[state.sort]) return orders[state.sort];
  const x = index;
  const rows = [...x.id.keys()];
  const by = (...keys) => rows.sort((l, r) => { for (const key of keys) { const d = key(l) - key(r); if (d) return d; } return l - r; });
  const late = (row) => (x.b[row] === null ? 1 : -x.b[row]);
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  if (state.sort === "new") by(late);
  else if (state.sort === "old") by((row) => x.a[row] ?? Infinity);
  else if (state.sort === "id") rows.sort((l, r) => compare(x.id[l], x.id[r]) || l - r);
  else if (state.sort === "long") by((row) => (x.a[row] === null ? 1 : x.a[row] - x.b[row]));
  else if (state.sort === "events") by((row) => -x.e[row]);
  else if (state.sort !== "made") by((row) => x.c[row]);
  return (orders[state.sort] = rows);
}

/** Which rows have every word of the query: in their id, or in any text that was read so far. */
function matches() {
  const words = wordsOf(state.q);
  if (!words.length) return null;
  const found = new Uint8Array(index.id.length).fill(1);
  const sources = state.in === "id" || !piles.length ? [idPile()] : piles.concat(reading ? [idPile()] : []);
  // Long words first: they leave fewer records for the others.
  for (const word of words.sort((l, r) => r.length - l.length)) {
    const hits = new Uint32Array(index.id.length);
    for (const pile of sources) pile.find(word, hits, found);
    for (let row = 0; row < found.length; row++) found[row] &= hits[row] > 0 ? 1 : 0;
  }
  return found;
}

let ids = null;
const idPile = () => (ids ??= new Pile(0, index.id.map((id) => id.toLowerCase())));

/** Read all chunks once, for the search through everything; short breaks keep the page alive. */
function readAll() {
  if (plain) {
    if (!piles.length) piles = [new Pile(0, articles.map(articleText))];
    return null;
  }
  const count = Math.ceil(index.id.length / index.chunk);
  if (piles.length === count || reading) return reading;
  reading = (async () => {
    let pause = performance.now();
    const load = (n) => (n < count ? unpack(`c${n}`) : null);
    let next = load(0);
    for (let n = 0; n < count; n++) {
      const views = await next;
      // The next chunk is opened beside the work on this one.
      next = load(n + 1);
      piles.push(new Pile(n * index.chunk, views.map((view) => textOf(view).toLowerCase())));
      if (performance.now() - pause > 100) {
        if (state.q) count_line(`Searching… ${number(Math.min(piles.length * index.chunk, index.id.length))} of ${number(index.id.length)} read`);
        await new Promise((done) => setTimeout(done));
        pause = performance.now();
      }
    }
    reading = null;
    if (!state.q) return;
    apply();
    settle();
  })();
  return reading;
}

function count_line(text) {
  const line = byId("count");
  if (line.textContent !== text) line.textContent = text;
}

/** A moment typed into a field, as UTC. */
function typed(text, end) {
  if (!text) return null;
  const ms = Date.parse(/T/.test(text) ? `${text}Z` : `${text}T${end ? "23:59:59.999" : "00:00"}Z`);
  // A minute typed as the end is meant whole.
  return Number.isNaN(ms) ? null : end && /T\d\d:\d\d$/.test(text) ? ms + 59999 : ms;
}

/** Filter, sort and show; the address follows. */
function apply() {
  const started = performance.now();
  const x = index;
  const status = state.status ? x.statuses.findIndex((s) => (s[0] || "---") === state.status) : -1;
  const type = state.type ? x.types.indexOf(state.type === "---" ? "" : state.type) : -1;
  const outcome = state.outcome ? x.cats.indexOf(state.outcome) : -1;
  const group = state.error ? x.groups.findIndex((g) => g[0] === state.error) : -1;
  const from = typed(state.from, false), to = typed(state.to, true);
  if (state.q && state.in !== "id") readAll();
  const found = matches();
  const rows = ordered().filter((row) =>
    (!state.status || x.s[row] === status) && (!state.type || x.t[row] === type) && (!state.outcome || x.c[row] === outcome) &&
    (!state.error || x.g[row] === group) && (from === null || (x.b[row] !== null && x.b[row] >= from)) &&
    (to === null || (x.a[row] !== null && x.a[row] <= to)) && (!found || found[row]));
  list.show(rows);
  if (plain) arrange(rows);
  mark();
  controls();
  byId("nothing").hidden = rows.length > 0 || !x.id.length;
  count_line(reading && state.q ? `Searching… ${number(rows.length)} found so far` : `Showing ${number(rows.length)} of ${plural(x.id.length, "record", "records")}`);
  writeAddress();
  root.dataset.filterMs = (performance.now() - started).toFixed(1);
}

const mark = () => markWords(wordsOf(state.q).filter((word) => word.length > 1), plain ? articles.filter((a) => !a.hidden) : byId("detail").children);

/** A plain page: the articles in the list's order, the others hidden. */
function arrange(rows) {
  const wanted = new Set(rows);
  for (const [row, article] of articles.entries()) article.hidden = !wanted.has(row);
  const box = byId("records"), before = byId("nothing");
  const now = [...box.querySelectorAll("article:not([hidden])")].map((a) => Number(a.dataset.row));
  if (now.length !== rows.length || now.some((row, i) => row !== rows[i])) {
    for (const row of rows) {
      articles[row].classList.remove("whole");
      box.insertBefore(articles[row], before);
    }
  }
  if (root.dataset.readyMs) layOut(rows);
}

/** Lay out what waits, a few records per frame, so that the page answers meanwhile. */
async function layOut(rows) {
  let begun = 0;
  for (const row of rows.filter((row) => !articles[row].classList.contains("whole"))) {
    if (performance.now() - begun > 12) {
      await new Promise(requestAnimationFrame);
      begun = performance.now();
    }
    articles[row].classList.add("whole");
    articles[row].offsetHeight;
  }
}

/** Show in buttons and fields what is filtered by. */
function controls() {
  for (const name of ["status", "type", "outcome", "sort", "from", "to"]) if (byId(name).value !== state[name]) byId(name).value = state[name];
  if (byId("q").value !== state.q) byId("q").value = state.q;
  byId("ids").checked = state.in === "id";
  const press = (selector, on) => { for (const b of document.querySelectorAll(selector)) b.setAttribute("aria-pressed", String(on(b))); };
  const name = (b) => (b.dataset.status === "" ? "" : index.statuses[b.dataset.status][0] || "---");
  press(".card", (b) => name(b) === state.status && (name(b) !== "" || !FILTERS.some((f) => state[f])));
  press(".v", (b) => b.dataset.outcome === state.outcome);
  press(".group", (b) => b.dataset.error === state.error);
  const span = [state.from, state.to].map((t) => t.replace("T", " "));
  byId("when-name").textContent = span[0] && span[1] ? `${span[0]} to ${span[1]}` : span[0] ? `From ${span[0]}` : span[1] ? `Until ${span[1]}` : "Any time";
  const group = index.groups.find((g) => g[0] === state.error);
  byId("active").textContent = state.error ? `Error: ${group ? group[1] : state.error}` : "";
  byId("clear").hidden = !FILTERS.some((f) => state[f]);
}

function change(values) {
  Object.assign(state, values);
  apply();
  settle();
}

/** A chunked page shows a record of its list: where the filter took the one shown away, the first one. */
function settle() {
  if (plain || reading || !list.order.length || list.order.includes(shownRow)) return;
  state.record = "";
  writeAddress();
  openFirst();
}

const clearFilters = () => change(Object.fromEntries([...FILTERS, "in"].map((f) => [f, ""])));

/** Open a record; `move` takes the focus to it. */
async function open(row, move) {
  if (row === undefined || row < 0) return;
  shownRow = row;
  state.record = index.id[row];
  writeAddress();
  list.mark(row, true);
  const token = ++openToken;
  if (!plain) {
    const views = await chunk(Math.floor(row / index.chunk));
    if (token !== openToken) return;
    const node = recordNode(views[row % index.chunk], row);
    byId("detail").replaceChildren(node);
    byId("detail").dataset.row = row;
    linkPictures(node);
    mark();
    root.classList.add("opened");
    byId("back").hidden = false;
    if (!move) return;
    node.focus({ preventScroll: true });
    if (node.getBoundingClientRect().top < 0 || matchMedia("(max-width: 860px)").matches) node.scrollIntoView();
    return;
  }
  const article = articles[row];
  article.hidden = false;
  spy.paused = performance.now() + 250;
  article.scrollIntoView();
  if (move) article.focus({ preventScroll: true });
}

/** The first record of the list stands open where a page is wide enough for both. */
function openFirst() {
  if (plain || !list.order.length || matchMedia("(max-width: 860px)").matches) return;
  const row = list.order[0];
  const before = state.record;
  open(row, false).then(() => { state.record = before; writeAddress(); });
}

const spy = { paused: 0 };
/** A plain page: the list follows what is being read. */
function followReading() {
  const seen = new IntersectionObserver(() => {
    if (performance.now() < spy.paused) return;
    const top = articles.filter((a) => !a.hidden).map((a) => [a, a.getBoundingClientRect()]).filter(([, r]) => r.bottom > 180);
    const first = top.sort((l, r) => l[1].top - r[1].top)[0];
    if (first && Number(first[0].dataset.row) !== list.current) list.mark(Number(first[0].dataset.row), true);
  }, { rootMargin: "-180px 0px -60% 0px", threshold: [0, 0.01] });
  for (const article of articles) seen.observe(article);
}

function openLinked() {
  if (!state.record) return false;
  const row = index.id.indexOf(state.record);
  if (row < 0) { count_line(`There is no record ${state.record} in this page`); return false; }
  open(row, true);
  return true;
}

function fillSelects() {
  const counts = (column, n) => { const c = new Array(n).fill(0); for (const v of index[column]) c[v]++; return c; };
  const fill = (id, names, n) => names.forEach((name, i) => byId(id).append(attrs(el("option", "", `${name || "---"} (${number(n[i])})`), { value: name || "---" })));
  fill("status", index.statuses.map((s) => s[0]), counts("s", index.statuses.length));
  fill("type", index.types, counts("t", index.types.length));
  byId("type-label").hidden = index.types.length < 2;
}

async function start() {
  if (index !== undefined) return;
  index = null;
  plain = root.dataset.mode === "plain";
  index = await unpack("index");
  // Moments come as differences, which compress well.
  let before = 0;
  index.a = index.a.map((step) => (step === null ? null : (before += step)));
  index.b = index.b.map((length, row) => (length === null ? null : index.a[row] + length));
  setTheme(root.dataset.theme);
  list = new List(byId("list"), byId("rows"), index, open);
  articles = plain ? index.id.map((_, row) => byId(`r-${row}`)) : [];
  // A plain page: what its articles lack without script.
  for (const [row, article] of articles.entries()) completed(article, row, index.id[row], ...index.more[row]);
  fillSelects();
  listen();
  readAddress();
  apply();
  linkPictures(document);
  if (plain) followReading();
  if (!openLinked()) openFirst();
  root.dataset.readyMs = performance.now().toFixed(0);
  if (plain) layOut(list.order);
}

// The index stands before the records' data: the page begins to work while those still come in.
const coming = new MutationObserver(begin);

function begin() {
  if (document.readyState === "loading" && !byId("begin")) return;
  coming.disconnect();
  start();
}

coming.observe(root, { childList: true, subtree: true });
document.addEventListener("DOMContentLoaded", begin);
begin();
