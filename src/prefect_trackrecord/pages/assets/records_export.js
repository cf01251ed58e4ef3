// What leaves the page: the filtered list as CSV and on paper.

/** What a spreadsheet could take for a formula is led by an apostrophe; numbers are left alone. */
function csvCell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value === "string" && /^[\s\u0000-\u001f]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

function download() {
  const x = index;
  const moment = (ms) => (ms === null ? null : stamp(ms));
  const lines = [["id", "type", "status", "outcome", "first_event", "last_event", "duration_s", "events", "error_kind", "error_code", "error_type", "error_message"]];
  for (const row of list.order) {
    lines.push([x.id[row], x.types[x.t[row]], x.statuses[x.s[row]][0], x.cats[x.c[row]], moment(x.a[row]), moment(x.b[row]),
      x.a[row] === null ? null : (x.b[row] - x.a[row]) / 1000, x.e[row], ...(x.why[row] || ["", "", "", ""])]);
  }
  const body = lines.map((line) => line.map(csvCell).join(",")).join("\r\n");
  // Spreadsheets take a file for UTF-8 where it begins with this mark.
  const address = URL.createObjectURL(new Blob(["\ufeff", body, "\r\n"], { type: "text/csv" }));
  attrs(el("a"), { href: address, download: "records.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** On paper a chunked page lists what is filtered, up to a limit that it states. */
function preparePrint() {
  if (plain) return;
  const x = index, rows = list.order.slice(0, 1000);
  const body = rows.map((row) => el("tr", "", el("td", "", bdi(x.id[row])), el("td", "", dot(x.statuses[x.s[row]][1]), " ", x.statuses[x.s[row]][0] || "---"),
    el("td", "", x.b[row] === null ? "" : clock(x.b[row])), el("td", "", bdi((x.why[row] || [])[3] || ""))));
  const head = el("tr", "", ...["Record", "Status", "Last event (UTC)", "Error"].map((t) => el("th", "", t)));
  byId("print").replaceChildren(el("caption", "", `Showing ${number(rows.length)} of ${plural(list.order.length, "record", "records")}`), el("thead", "", head), el("tbody", "", ...body));
}
