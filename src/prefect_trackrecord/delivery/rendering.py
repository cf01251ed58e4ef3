"""A report in all its forms; where an own template fails the built-in one takes its place, and the report says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.documents.layout import report_key
from prefect_trackrecord.errors import TemplateError
from prefect_trackrecord.pages import MAX_EMAIL_BYTES, render_line, render_report
from prefect_trackrecord.pages.delivery_report import Format
from prefect_trackrecord.pages.own_templates import render_own
from prefect_trackrecord.report import Report


@dataclass(frozen=True)
class Rendered:
    """A report in all its forms. `page` is the file in the store, `email` the HTML of the mail."""

    subject: str
    page: str
    text: str
    email: str
    markdown: str
    problems: tuple[str, ...] = ()


def render(config: ReportConfig, report: Report) -> Rendered:
    """The report in all its forms.

    A template of one's own that fails on this report is replaced by the built-in one. The forms tell of it, whichever
    of them it was: so it is in the mail, and not in a log alone.
    """
    made = _render(config, report)
    if made.problems:
        told = report.model_copy(update={"problems": (*report.problems, *made.problems)})
        return replace(_render(config, told), problems=made.problems)
    return made


def _render(config: ReportConfig, report: Report) -> Rendered:
    url = page_url(config, report)
    problems: list[str] = []
    try:
        subject = render_line(config.subject, subject_words(report))
    except TemplateError as exc:
        subject = f"{report.title}: {report.verdict.short}"
        problems.append(f"subject: {exc}; the built-in one was taken")
    page = _form(config.templates.page, "html", report, None, problems)
    text = _form(config.templates.text, "text", report, url, problems)
    email = _form(config.templates.email, "email", report, url, problems)
    if len(email.encode()) > MAX_EMAIL_BYTES:
        problems.append(f"templates.email: its mail has {len(email.encode()):,} bytes; Gmail clips it near 102,000")
    markdown = _form(config.templates.markdown, "markdown", report, url, problems)
    return Rendered(subject, page, text, email, markdown, tuple(problems))


def _form(path: Path | None, form: Format, report: Report, url: str | None, problems: list[str]) -> str:
    """One form of the report by the user's own template, or else by the built-in one."""
    if path is not None:
        try:
            return render_own(report, path, form, page_url=url)
        except TemplateError as exc:
            name = "page" if form == "html" else form
            problems.append(f"templates.{name}: {exc}; the built-in one was taken")
    return render_report(report, form, page_url=url)


def subject_words(report: Report) -> dict[str, object]:
    """What a subject template knows."""
    return {
        "report": report,
        "title": report.title,
        "name": report.name,
        "short": report.verdict.short,
        "sentence": report.verdict.sentence,
        "level": report.verdict.level,
        "period": str(report.period),
        "date_from": str(report.period.start),
        "date_to": str(report.period.end),
    }


def report_keys(report: Report) -> tuple[str, str]:
    """The keys of the page and of the text; the same report and period give the same."""
    day = f"{report.period.end:%Y/%m/%d}"
    page, text = (report_key(report.name, report.period.key, suffix, day) for suffix in ("html", "txt"))
    return page, text


def page_url(config: ReportConfig, report: Report) -> str | None:
    """Where a browser finds the page; None without a `base_url`."""
    return f"{config.base_url.rstrip('/')}/{report_keys(report)[0]}" if config.base_url else None
