// The page's ground: the index, compressed chunks, elements made without markup, moments and lengths of time.

const byId = (id) => document.getElementById(id);

/** An element with a class and children; strings become text, never markup. */
function el(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

/** Set several attributes at once; null and false leave one out. */
function attrs(node, values) {
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, values, ...children) {
  const node = attrs(document.createElementNS(SVG, tag), values);
  node.append(...children);
  return node;
}

function dot(color) {
  return svg("svg", { class: "dot", viewBox: "0 0 10 10", "aria-hidden": "true" },
    svg("circle", { cx: 5, cy: 5, r: 4.5, fill: color || null }));
}

const bdi = (text) => el("bdi", "", text);

/** A colour that was checked when the page was made, for the element's tints. */
function tint(node, color) {
  if (color) node.style.setProperty("--c", color);
  return node;
}

/** A status; inside of what has its colour, it needs none of its own. */
function badge([name, color], inside) {
  return tint(el("b", color ? "" : "k", name || "---"), inside ? null : color);
}

const number = (n) => n.toLocaleString("en-US");
const plural = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;
const stamp = (ms) => new Date(ms).toISOString();
const clock = (ms) => stamp(ms).slice(0, 19).replace("T", " ");

/** As `duration` in _records_text.py. */
function duration(ms) {
  if (ms < 1000) return `${Math.floor(ms + 0.5)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${Math.floor(seconds * 10 + 0.5) / 10} s`;
  const whole = Math.floor(seconds + 0.5);
  const two = (big, bigName, small, smallName) => {
    const rest = Math.floor((whole % big) / small);
    return `${Math.floor(whole / big)} ${bigName}${rest ? ` ${rest} ${smallName}` : ""}`;
  };
  if (whole < 3600) return two(60, "min", 1, "s");
  if (whole < 86400) return two(3600, "h", 60, "min");
  return two(86400, "d", 3600, "h");
}

/** As `clean` in _records_text.py, for what comes from the address. */
function clean(text) {
  return text.replace(/\r\n?/g, "\n").replace(/[\x00-\x08\x0b-\x1f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/\x7f/g, "\u2421")
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, (c) => `[U+${c.charCodeAt(0).toString(16).toUpperCase()}]`)
    .replace(/[\x80-\x9f\ufffe\uffff]/g, "\ufffd");
}

/** The JSON of a block of compressed data. */
async function unpack(name) {
  const text = atob((await block(name)).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** Whether a block is there whole: while the page still comes in, the last one may not be. */
const there = (name) => { const node = byId(name); return node && (node.nextSibling || document.readyState !== "loading") ? node : null; };

/** A block of data, once it has come in: the page can be used before its last byte is there. */
function block(name) {
  return new Promise((done) => {
    const look = () => (there(name) || document.readyState !== "loading" ? done(byId(name)) : setTimeout(look, 5));
    look();
  });
}

const chunks = new Map();
const KEPT_CHUNKS = 12;

/** Records of one chunk; the last few opened stay in memory. */
async function chunk(n) {
  let records = chunks.get(n);
  if (records) chunks.delete(n);
  else records = await unpack(`c${n}`);
  chunks.set(n, records);
  if (chunks.size > KEPT_CHUNKS) chunks.delete(chunks.keys().next().value);
  return records;
}

/** The address of a picture that stands in a data block of the page. */
async function pictureSource(n) {
  const found = await block(`p${n}`);
  return `data:${found.dataset.mime};base64,${found.textContent}`;
}
