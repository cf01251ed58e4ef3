"""A delivery report as data: CSV for spreadsheets, JSON for programs.

The CSV is one table in long form, so that a filter on its first column gives a part of the report:

    section  totals, day, error, broken, missing, idle, slow, flow, file, metric, record status, stuck record,
             undelivered mail, unfinished run, run, tracking error, report problem, damaged document, verdict
    state    what the part says of the line: new, failed, missed...
    value    the line's number; `before` and `change` against the previous period; `unit` is count, share, ms or value

Numbers are written plainly (a point, no separators), moments as ISO 8601 with their offset.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from prefect_trackrecord.pages import words

COLUMNS = (
    *("section", "name", "flow", "state", "value", "before", "change", "unit"),
    *("first", "last", "run_id", "link", "text"),
)
# What spreadsheets take for the beginning of a formula, in wide letters too.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
UNITS = {"count": "count", "share": "share", "duration": "ms"}

Row = dict[str, Any]


def as_json(report: Any) -> str:
    """The report's model as JSON, with the verdict first as a person would read it."""
    return str(report.model_dump_json(indent=1)) + "\n"  # a number that is none, as sums may be, is null there


def as_csv(report: Any) -> str:
    """The report as one table; no cell of it is a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows(report):
        writer.writerow([cell(row.get(name)) for name in COLUMNS])
    return out.getvalue()


def cell(value: Any) -> str:
    """A value as a cell: numbers plainly, texts on one line, and never as a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.10g}" if isinstance(value, float) and not value.is_integer() else str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    text = words.one_line(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def rows(report: Any) -> Iterator[Row]:
    """The lines of the CSV, in the report's own order."""
    verdict = report.verdict
    yield {"section": "verdict", "name": str(report.period), "state": verdict.level, "text": verdict.sentence}
    for f in report.figures:
        line = {"section": "totals", "name": f.key, "value": f.value, "before": f.previous, "change": f.change}
        yield {**line, "unit": UNITS[f.kind], "text": f.label}
    yield from _days(report)
    yield from _watched(report)
    yield from _errors(report)
    yield from _flows(report)
    yield from _records(report)
    yield from _mails_and_runs(report)
    yield from _unseen(report)


def _days(report: Any) -> Iterator[Row]:
    for day in report.days:
        for what, counts in (("runs", day.runs), ("files", day.files)):
            for status, count in counts.items():
                yield {
                    "section": "day",
                    "name": day.day,
                    "flow": what,
                    "state": status,
                    "value": count,
                    "unit": "count",
                }


def _watched(report: Any) -> Iterator[Row]:
    for b in report.broken.items:
        state = "before the period" if b.before else "in the period"
        line = {"section": "broken", "flow": b.flow, "state": state, "value": b.count, "unit": "count"}
        yield {**line, "first": b.since, "last": b.last.started_at, **_of(b.last), "text": b.last.error}
    for m in report.missing.items:
        line = {"section": "missing", "flow": m.flow, "state": m.state, "value": m.count, "unit": "count"}
        yield {**line, "first": m.times[-1], "last": m.times[0], **(_of(m.last) if m.last else {})}
    for i in report.idle.items:
        line = {"section": "idle", "flow": i.run.flow, "value": 0, "before": i.usual, "unit": "count"}
        yield {**line, "first": i.run.started_at, **_of(i.run)}
    for s in report.slowest.items:
        state = "slow" if s.slow else ""
        line = {"section": "slow", "flow": s.run.flow, "state": state, "value": s.run.duration_ms, "unit": "ms"}
        yield {**line, "before": s.usual_ms, "first": s.run.started_at, **_of(s.run)}


def _errors(report: Any) -> Iterator[Row]:
    for g in report.groups.items:
        line = {"section": "error", "name": g.error_type, "flow": ", ".join(g.flows), "state": g.state}
        numbers = {"value": g.count, "before": g.previous, "change": g.count - g.previous, "unit": f"{g.kind}s"}
        seen = {"first": g.first_seen, "last": g.last_seen, **(_of(g.runs.items[0]) if g.runs.items else {})}
        text = " | ".join(filter(None, (g.example_message or g.message, g.example_path)))
        yield {**line, **numbers, **seen, "text": text}
    if report.ungrouped:
        yield {"section": "error", "state": "in no group", "value": report.ungrouped, "unit": "files"}
    for f in report.files.items:
        line = {"section": "file", "name": f.path, "flow": f.flow, "state": f.state, "first": f.since, **_of(f)}
        yield {**line, "text": ": ".join(filter(None, (f.error_type, f.error_message)))}


def _flows(report: Any) -> Iterator[Row]:
    for f in report.flows.items:
        common = {"section": "flow", "flow": f.name, "last": f.last.started_at, **_of(f.last)}
        for name in ("runs", "succeeded", "partial", "failed", "aborted", "running", "files", "files_failed"):
            yield {**common, "name": name, "value": getattr(f, name), "unit": "count"}
        if f.note:
            told = (f.note.description, f.note.owner and f"owner {f.note.owner}", f.note.runbook_url)
            yield {**common, "name": "note", "text": " | ".join(filter(None, told))}
        for name, value in (("run_p50", f.p50_ms), ("run_p95", f.p95_ms)):
            yield {**common, "name": name, "value": value, "unit": "ms"}
    for m in report.metrics.items:
        line = {"section": "metric", "name": m.name, "flow": m.flow, "state": "out of bounds" if m.broken else ""}
        numbers = {"value": m.mean, "before": m.previous, "change": m.change, "unit": UNITS.get(m.kind, "value")}
        bounds = [f"{k} {cell(v)}" for k, v in (("floor", m.floor), ("budget", m.budget)) if v is not None]
        yield {**line, **numbers, **(_of(m.run) if m.run else {}), "text": ", ".join(bounds)}


def _records(report: Any) -> Iterator[Row]:
    for s in report.records:
        line = {"section": "record status", "name": s.status, "state": s.category, "value": s.count, "unit": "count"}
        yield {**line, "text": f"median {words.duration(s.p50_ms)} in this status" if s.p50_ms is not None else ""}
    for r in report.stuck.items:
        line = {"section": "stuck record", "name": r.record_id, "flow": r.process, "state": r.status, **_of(r)}
        yield {**line, "value": r.waiting_ms, "unit": "ms", "first": r.since, "text": r.error}


def _mails_and_runs(report: Any) -> Iterator[Row]:
    for u in report.undelivered.items:
        who = u.email or u.name or u.agent_id
        line = {"section": "undelivered mail", "name": who, "flow": u.flow, "state": u.outcome or u.status, **_of(u)}
        yield {**line, "value": u.count, "unit": "count", "text": u.reason}
    for section, listing in (("unfinished run", report.unfinished), ("run", report.runs)):
        for r in listing.items:
            line = {"section": section, "name": r.name, "flow": r.flow, "state": r.status, **_of(r)}
            times = {"value": r.duration_ms, "unit": "ms", "first": r.started_at, "last": r.completed_at}
            yield {**line, **times, "text": r.reason or r.error}


def _unseen(report: Any) -> Iterator[Row]:
    for e in report.tracking_errors.items:
        yield {"section": "tracking error", "value": e.count, "unit": "count", "text": e.cause}
    for text in report.problems:
        yield {"section": "report problem", "text": text}
    for d in report.unread.items:
        yield {"section": "damaged document", "name": d.key, "text": d.cause}


def _of(line: Any) -> Row:
    """The run of a line, and where it is seen."""
    return {"run_id": line.run_id, "link": line.link}
