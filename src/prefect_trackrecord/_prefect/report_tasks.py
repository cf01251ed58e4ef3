"""The steps of the delivery report as Prefect tasks, with names that people understand.

What goes from step to step is large, and is neither cached nor persisted: it lies in one `Work`, which Prefect hands
on as it is. What the tasks return is small, and for people.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.logging.loggers import get_run_logger
from prefect.states import Completed, Failed

from prefect_trackrecord._prefect.artifact_keys import slug
from prefect_trackrecord._prefect.schedules import expecting
from prefect_trackrecord._prefect.trying_again import AGAIN, PLAIN
from prefect_trackrecord.delivery import Collected, Person, Prepared, ReportConfig, Stored
from prefect_trackrecord.delivery.collecting import what_was_read
from prefect_trackrecord.delivery.performing import Made
from prefect_trackrecord.delivery.routing import Part, narrowed
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.journal.printable import printable
from prefect_trackrecord.pages.words import markdown
from prefect_trackrecord.report import Report

MAX_MARKDOWN = 100_000
MAX_FAILURES = 200


class Work:
    """One delivery on its way through the tasks. No dataclass: Prefect would look into all of it for futures.

    Args:
        config: the configuration.
        prepared: the delivery, ready to begin.
        ask_schedules: whether Prefect's API is asked which runs should have come.
    """

    def __init__(self, config: ReportConfig, prepared: Prepared, *, ask_schedules: bool) -> None:
        self.config, self.prepared, self.ask_schedules = config, prepared, ask_schedules
        self.delivery = prepared.delivery
        self.collected: Collected | None = None
        self.reports: dict[str, Report] = {}
        self.made: dict[str, Made] = {}
        self.stored: Stored | None = None
        self._lock = threading.Lock()
        self._began: float | None = None

    def patience(self) -> float:
        """Seconds for which mails that are deferred may still be tried again: all of them share the configured time."""
        server = self.delivery.server
        if server is None:
            return 0.0
        with self._lock:
            self._began = self._began or time.monotonic()
            return max(0.0, server.retry_for - (time.monotonic() - self._began))


@task(name="collect runs", **AGAIN)
def collect(work: Work) -> str:
    """Read the runs of the period and of the one before, and ask Prefect which should have come.

    Raises:
        StoreError: the store can't be listed.
    """
    expect = expecting(work.config.filters, work.config.alerts.grace) if work.ask_schedules else None
    work.collected = work.delivery.collect(work.prepared.period, expect)
    told = what_was_read(work.config, work.collected)
    get_run_logger().info("read %s", told)
    return told


@task(name="build", task_run_name="build {title}", **PLAIN)
def build(work: Work, part: Part, title: str) -> str:  # noqa: ARG001 - the title is for the task run's name
    """Sum the runs up; the verdict."""
    assert work.collected is not None
    own = work.collected if part.whole else narrowed(work.collected, work.config, part.config)
    report = work.reports[part.config.slug] = work.delivery.build(part.config, own)
    get_run_logger().info(printable(report.verdict.sentence))
    return report.verdict.sentence


@task(name="render", task_run_name="render {title}", **PLAIN)
def render(work: Work, part: Part, title: str) -> None:  # noqa: ARG001
    """Write it as mail, text, page and markdown."""
    made = work.made[part.config.slug] = work.delivery.render(part.config, work.reports[part.config.slug])
    for problem in made.rendered.problems:
        get_run_logger().warning(printable(problem))


@task(name="store the page", task_run_name="store {title}", **PLAIN)
def store(work: Work, part: Part, title: str) -> State[Any]:  # noqa: ARG001
    """Put page and text into the store; the mails leave even where that can't be done."""
    stored = work.delivery.store(work.made[part.config.slug])
    if part.whole:
        work.stored = stored
    if stored.error is not None:
        return Failed(message=stored.error, data=stored)
    return Completed(message=str(stored.page_path or stored.page_url or stored.page_key), data=stored)


@task(name="deliver", task_run_name="deliver to {who}", **PLAIN)
def deliver(work: Work, part: Part, person: Person, who: str) -> State[Any]:  # noqa: ARG001
    """Mail it to one person, unless the ledger says that this one has it. Its state says what became of the mail."""
    (result,) = work.delivery.send(work.made[part.config.slug], [person], retry_for=work.patience())
    return state_of(result)


@task(name="tell", task_run_name="tell {channel}", **PLAIN)
def tell(work: Work, part: Part, channel: str) -> State[Any]:
    """Tell it to one channel in short."""
    made, url = work.made[part.config.slug], work.stored.page_url if work.stored else None
    results = work.delivery.tell_channels({channel: work.prepared.channels[channel]}, made, url)
    return state_of(results[0]) if results else Completed(name="NotDue")


@task(name="show", **AGAIN)
def show(work: Work, made: Made, stored: Stored | None) -> None:
    """Leave the report as artifacts: the summary, the failures, and a link to the page."""
    report, name = made.report, work.config.slug
    create_markdown_artifact(
        _cut(made.rendered.markdown),
        key=slug("delivery-report", name),
        description=markdown(report.verdict.sentence, 1000),
    )
    failures = failure_rows(report)
    if failures:
        title = f"What failed: {work.config.heading}, {report.period}"
        create_table_artifact(failures, key=slug("delivery-failures", name), description=markdown(title))
    if stored is not None and stored.page_url:
        create_link_artifact(
            stored.page_url,
            link_text=markdown(f"{work.config.heading}, {report.period}"),
            key=slug("delivery-page", name),
            description="The whole report.",
        )


@task(name="show what would be sent", **PLAIN)
def show_dry(work: Work, made: Made, results: Sequence[EmailResult]) -> None:
    """Leave the report, and who would get it, as artifacts with names of their own."""
    key = slug("delivery-report-dry-run", work.config.slug)
    create_markdown_artifact(
        _cut(made.rendered.markdown), key=key, description=markdown(f"Dry run: {made.rendered.subject}")
    )
    rows = [{"to": r.email or r.agent_name or r.agent_id or "nobody", "what": r.reason or ""} for r in results]
    create_table_artifact(rows, key=f"{key}-mails"[:200], description="Dry run: who would get it")


def failure_rows(report: Report) -> list[dict[str, Any]]:
    """The failures as a table: errors, the files behind them, runs that broke; the newest run of each as a link."""
    rows: list[dict[str, Any]] = [
        _row("error", ", ".join(g.flows), f"{g.error_type or 'Error'}: {g.example_message or g.message or ''}", g.state)
        | {"count": g.count, "link": g.runs.items[0].link if g.runs.items else None}
        for g in report.groups.items
        if g.state in {"new", "recurring"}
    ]
    rows += [
        _row("file", f.flow, f"{f.path}: {f.error_message or f.error_type or ''}", f.state)
        | {"count": 1, "link": f.link}
        for f in report.files.items
        if f.state in {"new", "again"}
    ]
    rows += [
        _row("run", r.flow, r.reason or r.error or "", r.status) | {"count": 1, "link": r.link}
        for r in report.runs.items
        if r.status in {"failed", "aborted"}
    ]
    return rows[:MAX_FAILURES]


def state_of(result: EmailResult) -> State[Any]:
    """The state of a task that sent one mail: its name says what became of it."""
    reason = result.reason or ""
    if result.status == "failed":
        return Failed(name=(result.outcome or "failed").title(), message=reason, data=result)
    names = {"sent": "Sent"} if result.status == "sent" else {"sent": "SentEarlier"}
    return Completed(name=names.get(result.outcome or "", "NotSent"), message=reason, data=result)


def result_of(state: State[Any]) -> EmailResult | None:
    """The result that `state_of` put into a state; None for a task that broke."""
    found = state.result(raise_on_failure=False)
    return found if isinstance(found, EmailResult) else None


def who(person: Person) -> str:
    """A person in a task run's name."""
    return person.email or person.name or person.agent_id or "somebody without an address"


def place(stored: Stored | None) -> Path | str | None:
    """Where the page is, for people."""
    return None if stored is None else stored.page_path or stored.page_url or stored.page_key


def _row(kind: str, flow: str, text: str, state: str) -> dict[str, Any]:
    words = {"recurring": "still failing", "again": "failing again"}
    return {"what": kind, "flow": flow, "state": words.get(state, state), "error": " ".join(text.split())[:300]}


def _cut(markdown: str) -> str:
    if len(markdown) <= MAX_MARKDOWN:
        return markdown
    return f"{markdown[:MAX_MARKDOWN]}\n\n(cut: the page holds all of it)\n"  # above that the pages take seconds
