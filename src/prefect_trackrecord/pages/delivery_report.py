"""A delivery report as email, page, text, Markdown, CSV and JSON: the same figures, each in its own dress.

Reports come from a room above this one, so the type here is any object with the attributes of
`report.Report`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from prefect_trackrecord.pages import figures, report_data
from prefect_trackrecord.pages.environment import render, source

Format = Literal["html", "text", "markdown", "email", "csv", "json"]

MAX_EMAIL_BYTES = 95_000
"""Gmail clips a message near 102 kB."""
MAX_MARKDOWN_BYTES = 95_000
"""An artifact above 0.1 MB takes the Prefect UI seconds."""


@dataclass(frozen=True)
class Limits:
    """How many of each a rendering shows; it says so where there are more."""

    groups: int = 25
    files: int = 15
    flows: int = 12
    undelivered: int = 15
    unfinished: int = 10
    runs: int = 0
    unread: int = 10
    broken: int = 10
    watched: int = 8
    days: int = 31
    text: int = 260

    def halved(self) -> Limits:
        """Half of each, but never nothing."""
        halves = {name: max(1, value // 2) for name, value in self.__dict__.items() if value}
        return Limits(**{**self.__dict__, **halves, "text": max(60, self.text // 2)})


_WHOLE = Limits(
    groups=200,
    files=200,
    flows=200,
    undelivered=200,
    unfinished=200,
    runs=500,
    unread=200,
    broken=200,
    watched=200,
    days=4000,
    text=1000,
)
_TEXT = Limits(
    groups=50,
    files=50,
    flows=50,
    undelivered=50,
    unfinished=50,
    runs=50,
    unread=50,
    broken=50,
    watched=50,
    days=62,
    text=500,
)
_MARKDOWN = Limits(groups=25, files=25, flows=25, undelivered=25, unfinished=25, runs=25)
LIMITS = {"html": _WHOLE, "text": _TEXT, "markdown": _MARKDOWN, "email": Limits()}
"""How much each format shows at first."""


def render_report(report: Any, format: Format, *, page_url: str | None = None) -> str:  # noqa: A002
    """Render a delivery report.

    Args:
        report: a `report.Report`.
        format: `html` (a page in one file, with a strict content security policy and no network), `email`
            (the HTML of a mail, under 95 kB), `text`, `markdown` (for a Prefect artifact, under 95 kB), `csv`
            (one table, see `report_data`) or `json` (the model).
        page_url: where the whole page can be read, for the formats that show less.

    Raises:
        ValueError: there is no such format.
        TemplateError: a template has an error.
    """
    if format == "html":
        return _page(report, page_url)
    if format == "text":
        return tidy(_render(report, "report/report.txt.j2", _TEXT, page_url, html=False))
    if format == "markdown":
        return _fitting(
            lambda limits: tidy(_render(report, "report/report.md.j2", limits, page_url, html=False)),
            _MARKDOWN,
            MAX_MARKDOWN_BYTES,
        )
    if format == "email":
        return _fitting(
            lambda limits: dense(_render(report, "report/email.html.j2", limits, page_url, html=True)),
            Limits(),
            MAX_EMAIL_BYTES,
        )
    if format == "csv":
        return report_data.as_csv(report)
    if format == "json":
        return report_data.as_json(report)
    raise ValueError(f"there is no format {format!r}; there are html, text, markdown, email, csv, json")


def _render(report: Any, template: str, limits: Limits, page_url: str | None, *, html: bool, **more: Any) -> str:
    context = context_of(report, limits, page_url, whole=template.startswith("report/page."))
    return render(template, {**context, **more}, html=html)


def context_of(report: Any, limits: Limits, page_url: str | None, *, whole: bool) -> dict[str, Any]:
    """What templates know; `whole` for the page, which links into itself."""
    url = page_url if page_url and page_url.startswith(("http://", "https://")) else None
    return {
        "report": report,
        "limits": limits,
        "page_url": url,
        "seen": figures.seer(report, "" if whole else url),
        "run_anchor": figures.run_anchor,
        "explained": lambda key: (
            f"#{figures.anchor(report, key)}" if whole else url and f"{url}#{figures.anchor(report, key)}"
        ),
        "note": lambda key: figures.note(report, key),
        "bars": figures.bars(report, report.days[-limits.days :]),
        "counted": figures.counted(report),
    }


def _fitting(make: Callable[[Limits], str], limits: Limits, max_bytes: int) -> str:
    """The richest rendering that is small enough."""
    text = make(limits)
    while len(text.encode()) > max_bytes and limits != limits.halved():
        limits = limits.halved()
        text = make(limits)
    return text


def _page(report: Any, page_url: str | None) -> str:
    style = source("report/page.css").strip()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return _render(
        report,
        "report/page.html.j2",
        _WHOLE,
        page_url,
        html=True,
        style=Markup(style),  # noqa: S704 - our own file
        policy=policy,
        columns=figures.columns(report),
        chart_width=figures.WIDTH,
        chart_height=figures.HEIGHT,
    )


def dense(text: str) -> str:
    """HTML without the indentation and the empty lines of its template."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip()) + "\n"


def tidy(text: str) -> str:
    """Text with at most one empty line in a row, no blanks at line ends, and one newline at its end."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).strip() + "\n"
