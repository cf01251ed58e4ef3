"""Every format carries the same figures, is small enough, safe against hostile names, and needs no network."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from datetime import date, datetime, timezone
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import pytest
from report_samples import NOW, WEEK, FakeArchive, failed, ok, two_weeks

from prefect_trackrecord.documents.models import EmailResult, RunStatus
from prefect_trackrecord.errors import DamagedDocumentError, TemplateError
from prefect_trackrecord.history import item_changes, rows_of
from prefect_trackrecord.pages import MAX_EMAIL_BYTES, MAX_MARKDOWN_BYTES, render_line, render_report, words
from prefect_trackrecord.pages.environment import render
from prefect_trackrecord.report import Period, Report, build_report

FORMATS = ("html", "email", "text", "markdown")


def build(archive: FakeArchive, **options: Any) -> Report:
    period = options.pop("period", Period(*WEEK, "Europe/Berlin"))
    runs = [r for r in archive.all if r.started_at in period]
    before = [r for r in archive.all if r.started_at in period.previous()]
    items = item_changes(runs, before, rows_of(archive))
    return build_report(runs, before, period=period, now=NOW, items=items, **options)


@pytest.fixture(scope="module")
def report() -> Report:
    damaged = [DamagedDocumentError("run_metadata/2025/01/22/x.json", "no JSON")]
    return build(two_weeks(), title="Voice pipeline", damaged=damaged, ui_url="https://prefect.example.com")


class Tags(HTMLParser):
    """The tags of a page with their attributes, and the text within those that have `data-figure`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[str, str] = {}
        self._within: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._within = dict(attrs).get("data-figure", None if self._within is None else self._within)

    def handle_endtag(self, tag: str) -> None:
        self._within = None

    def handle_data(self, data: str) -> None:
        if self._within:
            self.figures[self._within] = self.figures.get(self._within, "") + data


def figures_in(text: str, fmt: str, report: Report) -> dict[str, str]:
    """The figures that a rendering shows, parsed out of it."""
    if fmt in {"html", "email"}:
        return {key: value.strip() for key, value in Tags(text).figures.items() if key != "verdict"}
    found = {}
    for figure in report.figures:
        pattern = rf"^{re.escape(figure.label)}  +(\S.*?)(?:   .*)?$"
        if fmt == "markdown":
            pattern = rf"^\| {re.escape(figure.label)} \| \*\*(.+?)\*\* \|"
        match = re.search(pattern, text, re.MULTILINE)
        if match:
            found[figure.key] = match[1]
    return found


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_carries_the_same_figures(report: Report, fmt: Any) -> None:
    shown = figures_in(render_report(report, fmt), fmt, report)
    wanted = {f.key: words.figure(f) for f in report.figures if f.shown or fmt in {"text", "markdown"}}
    assert shown == wanted
    assert shown["files"] == "1,499"
    assert shown["files_failed"] == "27"


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_says_the_verdict_and_the_errors(report: Report, fmt: Any) -> None:
    text = " ".join(render_report(report, fmt).split())
    if fmt in {"html", "email"}:  # the verdict's first words are set off
        text = re.sub(r"</?b\b[^>]*>", "", text)
    text = html.unescape(text).replace("\\", "")
    assert report.verdict.sentence in text
    for group in report.groups.items:
        assert group.error_type in text
        assert words.plural(group.count, group.kind) in text
        assert words.one_line(group.example_message) in text
    assert "550 5.1.1 no such user here" in text
    assert "run_metadata/2025/01/22/x.json" in text
    assert "disk full" in text
    assert "recovered: its process died" in text
    assert "both days included, Europe/Berlin" in text


def test_the_days_add_up_in_each_table(report: Report) -> None:
    page = render_report(report, "html")
    rows = re.findall(r'<tr data-day="[\d-]+">.*?</tr>', page)
    cells = [re.findall(r'<td class="num(?: ill| zero)?">([\d,]+)</td>', row) for row in rows]
    sums = [sum(int(c[n].replace(",", "")) for c in cells) for n in range(5)]
    assert sums == [23, report.runs_by["failed"], 1499, 27, 15]
    text = render_report(report, "text")
    days = re.findall(r"^\w{3} \d+ \w{3} +(\d+) +(\d+) +(\d+) +(\d+)$", text, re.MULTILINE)
    assert [sum(int(d[n]) for d in days) for n in range(4)] == [23, 1499, 27, 15]


def test_the_page_is_one_file_under_a_strict_policy(report: Report) -> None:
    page = render_report(report, "html")
    tags = Tags(page).found
    policy = next(a["content"] for t, a in tags if a.get("http-equiv") == "Content-Security-Policy") or ""
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not [t for t, _ in tags if t in {"script", "link", "img", "iframe", "object", "base", "form"}]
    assert not [a for _, a in tags if "style" in a or any(name.startswith("on") for name in a)]
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    links = [a["href"] or "" for t, a in tags if t == "a"]
    assert links
    ids = {a["id"] for _, a in tags if "id" in a}
    inside = [link for link in links if link.startswith("#")]
    assert inside
    assert {link[1:] for link in inside} <= ids
    rest = set(links) - set(inside)
    assert all(link.startswith("https://prefect.example.com/runs/flow-run/") for link in rest)


def test_the_email_has_no_images_no_scripts_and_one_column_of_600(report: Report) -> None:
    mail = render_report(report, "email", page_url="https://reports.example.com/x.html")
    tags = Tags(mail).found
    assert not [t for t, _ in tags if t in {"script", "link", "img", "iframe", "form"}]
    assert {a.get("role") for t, a in tags if t == "table"} == {"presentation"}
    assert "max-width:600px" in mail
    assert "prefers-color-scheme: dark" in mail
    assert "https://reports.example.com/x.html" in mail


HOSTILE = (
    '<script>alert(1)</script>"><img src=x onerror=alert(2)>',
    "a|b`c``d\\| ](javascript:alert(1)) ![x](http://evil.example/x.png)",
    "</td></table></style><svg onload=alert(3)>",
    "line\r\nBcc: victim@example.com\r\n\r\nbody",
    "\u202egnp.exe\u2066 \x00\x07 \ud800 \u2028",
    "{{ 7777 * 7777 }}{% include 'x' %}",
    "שלום 🎉 " + "ü" * 300,
)


@pytest.fixture(scope="module")
def hostile() -> Report:
    archive = FakeArchive()
    for n, name in enumerate(HOSTILE):
        archive.add(
            f"2025-01-2{n % 7}T02:00",
            [failed(f"/in/{name}", name, name), *ok("fine")],
            command=name,
            flow_name=name,
            flow_run_name=name,
            reason=name,
            tracking_errors={name: 1},
            status=RunStatus.ABORTED,
            emails=[EmailResult(email=name, agent_name=name, status="failed", reason=name, outcome=name)],
        )
        archive.add(f"2025-01-2{n % 7}T03:00", [failed(f"/in/{name}", name, name)], command=name)
    archive.add("2025-01-26T04:00", status=RunStatus.FAILED, error_type=HOSTILE[0], error_message=HOSTILE[1])
    damaged = [DamagedDocumentError(name, name) for name in HOSTILE]
    return build(archive, title=HOSTILE[0], damaged=damaged, store=HOSTILE[1], ui_url="https://ui.example.com")


@pytest.mark.parametrize("fmt", ["html", "email"])
def test_hostile_names_stay_text_in_html(hostile: Report, fmt: Any) -> None:
    page = render_report(hostile, fmt)
    page.encode()
    tags = Tags(page).found
    assert {t for t, _ in tags} & {"script", "img", "link", "iframe", "object"} == set()
    assert not [a for _, a in tags for name in a if name.startswith("on")]
    # Our own chart is the only svg.
    assert sum(t == "svg" for t, _ in tags) == page.count("<svg class=") + page.count('<svg viewBox="0 0 10 10"')
    assert all((a["href"] or "").startswith(("https://ui.example.com/", "#")) for t, a in tags if t == "a")
    assert "alert(1)" in page
    assert str(7777 * 7777) not in page
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x07\u2028]", page)


def test_hostile_names_stay_text_in_markdown(hostile: Report) -> None:
    text = render_report(hostile, "markdown")
    text.encode()
    outside = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "CODE", text)  # code spans hold anything
    assert not re.search(r"(?<!\\)<", outside)
    links = re.findall(r"(?<!\\)\]\(([^)]*)\)", outside)
    assert all(link.startswith("https://ui.example.com/") for link in links)
    assert not re.search(r"(?<!\\)!\[", outside)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    assert "\r" not in text


def test_hostile_names_make_no_lines_in_text(hostile: Report) -> None:
    text = render_report(hostile, "text")
    text.encode()
    assert not re.search(r"^Bcc:", text, re.MULTILINE)
    assert "\r" not in text
    assert "\x00" not in text


def many(groups: int, text: int) -> Report:
    archive = FakeArchive()
    for n in range(groups):
        rows = [failed(f"/data/{'deep/' * 30}{n}-{i}.csv", f"Error{n}", "w" * text) for i in range(2)]
        archive.add(f"2025-01-2{n % 7}T0{n % 9}:00", [*rows, *ok("x")], command=f"flow-{n}", flow_name=f"flow-{n}")
    return build(archive, ui_url="https://prefect.example.com")


@pytest.mark.parametrize(("groups", "text"), [(50, 400), (220, 5000)])
def test_mail_and_artifact_stay_small_and_say_what_they_leave_out(groups: int, text: int) -> None:
    report = many(groups, text)
    mail = render_report(report, "email")
    assert len(mail.encode()) < MAX_EMAIL_BYTES
    assert re.search(rf"Showing \d+ of {groups} errors", mail)
    artifact = render_report(report, "markdown")
    assert len(artifact.encode()) < MAX_MARKDOWN_BYTES
    assert re.search(rf"Showing \d+ of {groups} errors", artifact)
    assert render_report(report, "html").count("data-group=") == min(groups, 200)


def test_wide_letters_count_in_bytes() -> None:
    archive = FakeArchive()
    for n in range(60):
        archive.add("2025-01-21", [failed(f"/{'界' * 90}{n}", "誤り" * 30, "🎉界" * 100)], command=f"流{n}" * 20)
    assert len(render_report(build(archive), "email").encode()) < MAX_EMAIL_BYTES
    assert len(render_report(build(archive), "markdown").encode()) < MAX_MARKDOWN_BYTES


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("length", [1, 7, 400])
def test_a_report_about_nothing_renders(fmt: Any, length: int) -> None:
    period = Period(date(2025, 1, 1), date.fromordinal(date(2025, 1, 1).toordinal() + length - 1))
    text = render_report(build_report([], [], period=period, now=NOW), fmt)
    assert "Nothing ran" in text


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_long_period_renders(fmt: Any) -> None:
    archive = FakeArchive()
    for month in range(1, 13):
        archive.add(f"2024-{month:02d}-15", ok("a"))
    report = build(archive, period=Period(date(2024, 1, 1), date(2024, 12, 31)))
    text = render_report(report, fmt)
    if fmt == "email":
        assert "last 31 of 366 days" in text
        assert len(text.encode()) < MAX_EMAIL_BYTES


def test_days_with_another_number_of_hours_say_so() -> None:
    archive = FakeArchive()
    archive.add("2025-03-30", ok("a"))
    report = build(archive, period=Period(date(2025, 3, 29), date(2025, 3, 30), "Europe/Berlin"))
    assert "(23.0 hours)" in render_report(report, "html")


def test_times_are_those_of_the_report(report: Report) -> None:
    archive = FakeArchive()
    archive.add(datetime(2025, 1, 20, 23, 30, tzinfo=timezone.utc), ok("a"))
    assert "21 Jan 00:30" in render_report(build(archive), "text")


def test_an_unknown_format_is_refused(report: Report) -> None:
    with pytest.raises(ValueError, match="pdf"):
        render_report(report, "pdf")  # type: ignore[arg-type]


def test_templates_are_in_the_package() -> None:
    folder = resources.files("prefect_trackrecord.pages") / "templates" / "report"
    names = {entry.name for entry in folder.iterdir()}
    assert {"email.html.j2", "page.html.j2", "page.css", "report.md.j2", "report.txt.j2"} <= names


def test_a_template_error_names_file_and_line() -> None:
    with pytest.raises(TemplateError, match=r"report\.txt\.j2, line \d+: .*undefined"):
        render("report/report.txt.j2", {"limits": None}, html=False)


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("[prod] {{ title }}: {{ n | count }}", "[prod] My report: 1,204"),
        ("a\n\r b\t{{ title }}", "a b My report"),
    ],
)
def test_one_line_templates(template: str, result: str) -> None:
    assert render_line(template, {"title": "My report", "n": 1204}) == result


@pytest.mark.parametrize(
    "template",
    ["{{ nobody }}", "{{ title.__class__.__mro__ }}", "{{ 1 / 0 }}", "{{ title | nofilter }}", "{{ title"],
)
def test_one_line_templates_are_strict_and_sandboxed(template: str) -> None:
    with pytest.raises(TemplateError):
        render_line(template, {"title": "x"})
