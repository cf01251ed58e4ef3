"""One delivery at work: makes the reports, stores them, and hands them to those for whom they are due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from prefect_trackrecord.delivery import collecting, job, rendering
from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.channels import Channel, Note, brief, notify_all
from prefect_trackrecord.delivery.collecting import Collected, Expect
from prefect_trackrecord.delivery.config import Recipient, ReportConfig
from prefect_trackrecord.delivery.deciding import Digest, last_digest, not_due, remember
from prefect_trackrecord.delivery.job import Stored
from prefect_trackrecord.delivery.lateness import marked, words
from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.delivery.ledger_entry import Resend
from prefect_trackrecord.delivery.rendering import Rendered, report_keys
from prefect_trackrecord.delivery.routing import Part
from prefect_trackrecord.delivery.sender import deliver
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.errors import StoreError, UsageError
from prefect_trackrecord.report import Period, Report
from prefect_trackrecord.tracking import RunTracker


@dataclass(frozen=True)
class DeliveryOutcome:
    """All that a delivery made.

    Attributes:
        report: the report.
        rendered: its forms; `rendered.markdown` is for a Prefect artifact.
        stored: where the page and the text are.
        emails: what became of each mail.
        outbox: where mails are that were kept.
        problems: what did not go as configured.
    """

    report: Report
    rendered: Rendered
    stored: Stored
    emails: tuple[EmailResult, ...] = ()
    outbox: Path | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """A report and its forms, and the configuration they were made by."""

    config: ReportConfig
    report: Report
    rendered: Rendered


@dataclass(frozen=True)
class Delivery:
    """What is the same for all reports of one delivery; `late` is how late it is, None where it is not."""

    config: ReportConfig
    archive: Archive
    ledger: Ledger | None
    server: SmtpServer | None
    outbox: Path
    now: datetime
    late: timedelta | None
    resend: Resend
    tell: Callable[[str], None]
    tracker: RunTracker | None
    problems: list[str] = field(default_factory=list)

    def collect(self, period: Period, expect: Expect | None = None) -> Collected:
        """What the report is made of; `expect` is asked where the configuration's `schedules` says so.

        Raises:
            StoreError: the store can't be listed.
        """
        collected = collecting.collect(self.config, period, self.archive)
        if expect is None or not self.config.schedules:
            return collected
        collected = collecting.with_schedules(collected, self.archive, expect, self.now)
        self._trouble(*collected.problems)
        return collected

    def make(self, config: ReportConfig, collected: Collected) -> Made:
        """The report of what was collected, in all its forms."""
        return self.render(config, self.build(config, collected))

    def build(self, config: ReportConfig, collected: Collected) -> Report:
        """The report of what was collected, marked where it is late."""
        report = collecting.build(config, collected, now=self.now)
        return marked(report, self.late) if self.late is not None and self.config.late != "send" else report

    def render(self, config: ReportConfig, report: Report) -> Made:
        """All forms of a report."""
        rendered = rendering.render(config, report)
        self._trouble(*rendered.problems)
        return Made(config, report, rendered)

    def store(self, made: Made) -> Stored:
        """Write page and text."""
        stored = job.store(made.config, made.report, made.rendered, self.archive)
        if stored.error:
            self._trouble(stored.error)
        self.tell(stored.error or f"stored {stored.page_path or stored.page_key}")
        return stored

    def deliver(self, part: Part, made: Made) -> list[EmailResult]:
        """Mail it to those for whom it is due; the others get a result that says why not."""
        spared = self.spare(part, made)
        due = [person for person in part.people if person not in spared]
        results = {**spared, **dict(zip(due, self.send(made, due), strict=True))}
        return [results[person] for person in part.people]

    def spare(self, part: Part, made: Made) -> dict[Person, EmailResult]:
        """Those for whom it is not due, each with a result that says why; noted in the ledger and in the run."""
        spared = {}
        for person, why in self._whys(part, made).items():
            if self.ledger is not None and person.email:
                self.ledger.skip(person.email, why)
            spared[person] = _result(person, why, self.now)
            self.note(spared[person])
        return spared

    def send(self, made: Made, people: Sequence[Person], *, retry_for: float | None = None) -> list[EmailResult]:
        """Mail it to these people, a result for each.

        Args:
            made: the report.
            people: some of a part's.
            retry_for: seconds for which deferred mails are tried again, instead of the mail server's own.
        """
        server = self.server
        if server is not None and retry_for is not None:
            server = replace(server, retry_for=retry_for)
        return job.send(
            made.config,
            made.report,
            made.rendered,
            now=self.now,
            outbox=self.outbox,
            server=server,
            progress=self.tell,
            ledger=self.ledger,
            resend=self.resend,
            people=people,
            on_result=self.note,
            name=self.config.slug,
        )

    def tell_channels(self, channels: Mapping[str, Channel], made: Made, page_url: str | None) -> list[EmailResult]:
        """Tell the report to the channels in short, where it is due; a result for each."""
        if not channels or self._why(self.config, made, self._last(made)) is not None:
            return []
        told = Note(made.rendered.subject, brief(made.report, page_url))
        return notify_all(
            channels,
            told,
            now=self.now,
            ledger=self.ledger,
            resend=self.resend,
            progress=self.tell,
            on_result=self.note,
        )

    def would(self, part: Part, made: Made) -> list[EmailResult]:
        """What `deliver` would do."""
        whys = self._whys(part, made, noting=False)
        results = []
        for person in part.people:
            would = whys.get(person) or self._would(person)
            results.append(_result(person, f"dry run: {would}", self.now))
        return results

    def test_copy(self, made: Made, to: Sequence[str | Person]) -> list[EmailResult]:
        """Mail it to others, under an id of its own, so that no mail program takes it for the real one."""
        people = tuple(Recipient.model_validate(p if isinstance(p, str) else p.model_dump()) for p in to)
        real = job.letter(made.config, made.report, made.rendered)
        period = f"{real.period} test {self.now.isoformat()}"
        copy = replace(real, subject=f"[test] {real.subject}", period=period)
        only = self.config.model_copy(update={"recipients": people, "cc": ()})
        return deliver(
            copy,
            only,
            now=self.now,
            outbox=self.outbox,
            server=self.server,
            on_result=self.note,
            on_wait=job.waits_told(self.tell),
        )

    def note(self, result: EmailResult) -> None:
        """Record a result at once: what was sent before a crash is in the log too."""
        if self.tracker is not None:
            self.tracker.record_email_results([result])

    def outcome(
        self, made: Made, *, stored: Stored | None = None, emails: Sequence[EmailResult] = ()
    ) -> DeliveryOutcome:
        """All that was made; report and forms are those of the report about everything."""
        return DeliveryOutcome(
            made.report,
            made.rendered,
            stored or Stored(*report_keys(made.report)),
            tuple(emails),
            self.outbox if self.server is None else None,
            tuple(self.problems),
        )

    def _whys(self, part: Part, made: Made, *, noting: bool = True) -> dict[Person, str]:
        """Why those who don't get it don't."""
        last = self._last(made)
        if noting and "on_change" in self._rules():
            try:
                remember(self.archive.store, made.report)
            except StoreError as exc:
                self._trouble(f"the next report can't tell what changed: {exc}")
        found = {}
        for person in part.people:
            why = self._why(person, made, last)
            if why is not None:
                found[person] = why
        return found

    def _why(self, who: Person | ReportConfig, made: Made, last: Digest | None) -> str | None:
        if self.resend:
            return None
        if self.late is not None and self.config.late == "skip":
            return f"late: it is made {words(self.late)}"
        when = (who.when if isinstance(who, Recipient) else None) or self.config.when
        return not_due(when, made.report, last)

    def _rules(self) -> set[str]:
        return {self.config.when, *(p.when for p in self.config.recipients if p.when)}

    def _last(self, made: Made) -> Digest | None:
        if "on_change" not in self._rules():
            return None
        try:
            return last_digest(self.archive.store, made.report)
        except StoreError as exc:
            self._trouble(f"what changed can't be told: {exc}")
            return None

    def _would(self, person: Person) -> str:
        would = "would be sent" if self.server is not None else "would be kept in the outbox"
        if self.ledger is None or self.server is None or person.email is None:
            return would
        try:
            entry = self.ledger.look(person.email)
        except StoreError as exc:
            return f"can't be told: {exc}"
        if entry is None or entry.state in {"deferred", "skipped", "claimed"}:
            return would
        return f"the ledger says {entry.state}{f' ({entry.reason})' if entry.reason else ''}"

    def _trouble(self, *lines: str) -> None:
        self.problems.extend(line for line in lines if line not in self.problems)


def write_preview(made: Made, preview: Path) -> Stored:
    """Write the page to a file, or into a folder.

    Raises:
        UsageError: it can't be written.
    """
    page, text = report_keys(made.report)
    path = preview / page.rsplit("/", 1)[-1] if preview.is_dir() else preview
    try:
        path.write_text(made.rendered.page, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"the preview {path} can't be written: {exc.strerror or exc}") from None
    return Stored(page, text, page_path=path)


def _result(person: Person, reason: str, now: datetime) -> EmailResult:
    return EmailResult(
        agent_id=person.agent_id,
        agent_name=person.name,
        email=person.email,
        status="skipped",
        reason=reason if person.email else "No email configured",
        at=now,
    )
