// The search through everything: words, the text of a record, many texts at once, words coloured where they stand.

/** The words of a query: parts in double quotes stay together; case does not count. */
function wordsOf(query) {
  return [...query.toLowerCase().matchAll(/"([^"]+)"?|\S+/g)].map((m) => m[1] ?? m[0]);
}

/** Every text of a record that a search looks at; code locations are not among them. */
function textOf(view) {
  const parts = [view.id, view.type, view.st[0], ...(view.notes || [])];
  const value = (v) => parts.push(v === null ? "" : typeof v === "string" ? v : v.s ?? v.j ?? v.r);
  if (view.err) parts.push(...Object.values(view.err));
  for (const [name, v] of view.rec || []) { parts.push(name); value(v); }
  for (const row of view.att || []) parts.push(row[1], row[2]);
  for (const row of view.steps || []) parts.push(row[0], row[1], row[3]);
  for (const event of view.ev) {
    if (event.k === "s") parts.push(event.o[0], event.n[0]);
    else parts.push(event.a);
    if (event.r) parts.push(event.r);
    if (event.img) parts.push(event.img.name);
    for (const [path, , from, to] of event.f || []) { parts.push(path); value(from); value(to); }
  }
  return parts.join("\n");
}

/** One string of many texts, with the place where each begins: found in faster than one by one. */
class Pile {
  constructor(from, texts) {
    this.from = from;
    this.starts = [];
    let at = 0;
    for (const text of texts) { this.starts.push(at); at += text.length + 1; }
    this.text = texts.join("\u0001");
  }

  /** Add 1 in `hits` for each record that has `word`; `found` says which are still in question. */
  find(word, hits, found) {
    let open = 0;
    for (let i = 0; i < this.starts.length; i++) open += found[this.from + i];
    if (open * 4 < this.starts.length) {
      for (let i = 0; i < this.starts.length; i++) {
        if (found[this.from + i] && this.text.substring(this.starts[i], this.starts[i + 1]).includes(word)) hits[this.from + i]++;
      }
      return;
    }
    let at = this.text.indexOf(word);
    let i = 0;
    while (at >= 0) {
      while (i + 1 < this.starts.length && this.starts[i + 1] <= at) i++;
      hits[this.from + i]++;
      if (i + 1 >= this.starts.length) return;
      at = this.text.indexOf(word, this.starts[i + 1]);
    }
  }
}

/** The texts of a plain page are its articles, without the code locations. */
function articleText(article) {
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) =>
    node.nodeType === 1 && node.matches("ol .tech") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  const parts = [];
  while (walker.nextNode()) if (walker.currentNode.nodeType === 3) parts.push(walker.currentNode.data);
  return parts.join("\n").toLowerCase();
}

const MARKS = 3000;

/** Colour the words of the query in the records shown, without touching their elements. */
function markWords(words, articles) {
  if (typeof Highlight === "undefined") return;
  CSS.highlights.delete("found");
  if (!words.length) return;
  const ranges = [];
  for (const article of articles) {
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && ranges.length < MARKS) {
      const node = walker.currentNode, text = node.data.toLowerCase();
      // Lower case may be longer than the text itself (İ); then places would not fit.
      if (text.length !== node.data.length) continue;
      for (const word of words) {
        for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + word.length);
          ranges.push(range);
        }
      }
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}
