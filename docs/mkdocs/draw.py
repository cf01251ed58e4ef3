"""Draws `assets/data-flow.svg`, the picture of how an event becomes a mail: `python docs/mkdocs/draw.py`."""

from __future__ import annotations

from html import escape
from pathlib import Path

TARGET = Path(__file__).parents[1] / "assets" / "data-flow.svg"
WIDTH, HEIGHT = 1000, 452
BOXES = (
    # x, y, width, title, lines, colour
    (20, 20, 205, "capture", ("@track, hooks", "RunTracker, callbacks", "ThoughtfulRecord"), "#e8eaf6"),
    (270, 20, 205, "journal", ("one write(2) per event", "a segment per process", "spool on this host"), "#fff3e0"),
    (520, 20, 205, "documents", ("sealed JSON, the seeds'", "layout; generations,", "compare-and-swap"), "#e8f5e9"),
    (770, 20, 205, "history", ("runs of a window", "a record over time", "roll-ups, no rows read"), "#e8f5e9"),
    (770, 190, 205, "report", ("figures, groups, verdict", "what is new, what lasts", "a frozen model"), "#fce4ec"),
    (520, 190, 205, "pages", ("Jinja2: page, mail, text,", "Markdown, CSV, JSON", "records' own page"), "#fce4ec"),
    (
        270,
        190,
        205,
        "delivery",
        ("ledger: once per person", "SMTP, outbox, channels", "alerts of incidents"),
        "#fce4ec",
    ),
    (20, 190, 205, "people", ("inbox, Slack, browser", "Prefect's UI: artifacts", "automations: events"), "#f3e5f5"),
)
ARROWS = (
    (225, 70, 270, 70),
    (475, 70, 520, 70),
    (725, 70, 770, 70),
    (872, 121, 872, 190),
    (770, 240, 725, 240),
    (520, 240, 475, 240),
    (270, 240, 225, 240),
)
PATHS = (  # of the upper row to the store, between the boxes of the lower one
    "462,121 462,155 497,155 497,345",
    "712,121 712,155 747,155 747,345",
    "975,70 990,70 990,367 975,367",
)
STORE = "the store: a folder, S3, Azure, GCS, whatever fsspec reaches"
RECOVER = "trackrecord recover: seals what a dead process left, brings in what waits in the spool"


def svg() -> str:
    """The picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif">',  # noqa: E501
        "<title>How an event becomes a mail</title>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '  # noqa: ISC004
        'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#37474f"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for x, y, width, title, lines, colour in BOXES:
        parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="101" rx="8" fill="{colour}" stroke="#78909c"/>')
        parts.append(_text(x + 14, y + 26, title, 17, bold=True))
        parts += [_text(x + 14, y + 50 + 19 * n, line, 14) for n, line in enumerate(lines)]
    for x1, y1, x2, y2 in ARROWS:
        parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#37474f" stroke-width="2" marker-end="url(#tip)"/>'
        )
    parts.append('<rect x="270" y="345" width="705" height="44" rx="8" fill="#eceff1" stroke="#78909c"/>')
    parts.append(_text(290, 372, STORE, 15))
    for x in (372, 622):
        parts.append(
            f'<line x1="{x}" y1="345" x2="{x}" y2="291" stroke="#90a4ae" stroke-width="2" '
            'stroke-dasharray="5 4" marker-start="url(#tip)" marker-end="url(#tip)"/>'
        )
    for points in PATHS:
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="#90a4ae" stroke-width="2" stroke-dasharray="5 4" '
            'marker-start="url(#tip)" marker-end="url(#tip)"/>'
        )
    parts.append(_text(270, 424, RECOVER, 14))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: int, y: int, text: str, size: int, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="#263238"{weight}>{escape(text)}</text>'


if __name__ == "__main__":
    TARGET.write_text(svg(), encoding="utf-8")
