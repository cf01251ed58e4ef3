// The list of records beside the story: only the rows in sight exist.

const ROW = 60;

/** A list of links, one per record, that builds only what is in sight. */
class List {
  constructor(box, rows, index, onOpen) {
    Object.assign(this, { box, rows, index, onOpen, order: [], current: -1, first: -1, last: -1 });
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    box.addEventListener("keydown", (e) => this.key(e));
    rows.addEventListener("click", (e) => {
      const link = e.target.closest("a");
      if (!link || e.metaKey || e.ctrlKey || e.shiftKey) return;
      e.preventDefault();
      onOpen(Number(link.dataset.row), true);
    });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(order) {
    this.order = order;
    this.first = -1;
    this.rows.style.height = `${order.length * ROW}px`;
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 6);
    const last = Math.min(this.order.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + 6);
    if (first === this.first && last === this.last) return;
    [this.first, this.last] = [first, last];
    const focused = this.rows.contains(document.activeElement) ? document.activeElement.dataset.row : null;
    const items = [];
    for (let place = first; place < last; place++) items.push(this.item(this.order[place], place));
    this.rows.replaceChildren(...items);
    // One stop for the Tab key: the current record, else the first in sight.
    if (!this.rows.querySelector("a[tabindex='0']") && items.length) items[0].firstChild.tabIndex = 0;
    if (focused !== null) this.link(focused)?.focus({ preventScroll: true });
  }

  item(row, place) {
    const x = this.index;
    const [status, color] = x.statuses[x.s[row]];
    const head = el("span", "row-head", el("span", "row-id", bdi(x.id[row] || "(no id)")),
      el("span", "row-st", dot(color), bdi(status || "---")));
    const why = x.why[row];
    const facts = [x.types.length > 1 ? x.types[x.t[row]] : "", x.b[row] === null ? "" : clock(x.b[row]), plural(x.e[row], "event", "events")];
    const words = why && (why[3] || why[2] || why[1]);
    const foot = el("span", words ? "row-foot row-why" : "row-foot", bdi(words || facts.filter(Boolean).join(" · ")));
    const link = attrs(el("a", "", head, foot), { href: `#record=${encodeURIComponent(x.id[row])}`, "data-row": row, tabindex: row === this.current ? 0 : -1 });
    if (row === this.current) link.setAttribute("aria-current", "true");
    const item = attrs(el("li", "row", link), { "aria-setsize": this.order.length, "aria-posinset": place + 1 });
    item.style.top = `${place * ROW}px`;
    return item;
  }

  link(row) {
    return this.rows.querySelector(`a[data-row="${row}"]`);
  }

  /** Mark a record as the one shown; scroll it into sight. */
  mark(row, scroll) {
    this.current = row;
    const place = this.order.indexOf(row);
    if (scroll && place >= 0) {
      const top = place * ROW;
      if (top < this.box.scrollTop) this.box.scrollTop = top;
      else if (top + ROW > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + ROW - this.box.clientHeight;
    }
    this.first = -1;
    this.draw();
  }

  /** The record `by` places from the current one. */
  next(by) {
    const place = this.order.indexOf(this.current);
    if (place < 0) return this.order[0];
    return this.order[Math.min(this.order.length - 1, Math.max(0, place + by))];
  }

  key(e) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    if (!(e.key in steps) || !this.order.length) return;
    e.preventDefault();
    const row = this.next(steps[e.key]);
    this.onOpen(row, false);
    this.link(row)?.focus({ preventScroll: true });
  }
}
