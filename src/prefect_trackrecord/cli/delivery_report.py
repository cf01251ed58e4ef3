"""`trackrecord delivery-report`: the delivery report from a shell."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from prefect_trackrecord.cli.output import complain, dump, note, say
from prefect_trackrecord.cli.place import may_have_api, storage_of, tracked
from prefect_trackrecord.cli.progress import waiting
from prefect_trackrecord.delivery import (
    DeliveryOutcome,
    Expect,
    ReportConfig,
    SmtpServer,
    check_address,
    load_config,
    mail_server,
    run_delivery_report,
)
from prefect_trackrecord.delivery.sender import IN_OUTBOX
from prefect_trackrecord.delivery.smtp import NO_SUCH_HOST
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.report.build import REPORT_ROLE
from prefect_trackrecord.store import StoreConfig
from prefect_trackrecord.tracking import TrackingStorage, resolve_storage


@dataclass(frozen=True)
class Sending:
    """What is done with the report other than storing it and mailing it once; see `delivery.run_delivery_report`."""

    dry_run: bool = False
    preview: Path | None = None
    to: tuple[str, ...] = ()
    resend: Literal["all", "undelivered"] | None = None

    @property
    def works(self) -> bool:
        """Whether anything is stored or sent at all."""
        return not self.dry_run and self.preview is None


def delivery_report(
    config_path: Path,
    date_from: str | None,
    date_to: str | None,
    window: str | None,
    storage: str | None,
    sending: Sending,
    as_json: bool,
) -> int:
    """Make the report, say where it is, and return 1 where it could not be stored or a mail not be sent."""
    if window and (date_from or date_to):
        raise UsageError("give --window, or --date-from and --date-to, not both")
    if sending.preview is not None and (sending.to or sending.resend or sending.dry_run):
        raise UsageError("--preview writes the page and sends nothing: give it without --to, --resend and --dry-run")
    try:
        to = tuple(check_address(address) for address in sending.to)
    except ValueError as exc:
        raise UsageError(f"--to {exc}") from None
    config = load_config(config_path)
    if window:
        config = config.model_copy(update={"window": window, "date_from": None, "date_to": None})
    place = _place(config, storage)
    now = datetime.now(timezone.utc)
    period = config.period(date_from, date_to, now)
    more = {"config_path": str(config_path), "target_date": period.key, "role": REPORT_ROLE}
    own = tracked("delivery-report", place, **more) if sending.works else nullcontext()
    with own as run, waiting("making the report"):
        outcome = run_delivery_report(
            config,
            date_from=date_from,
            date_to=date_to,
            now=now,
            archive=place.archive,
            tracker=run.tracker if run else None,
            server=_server(config),
            progress=note,
            dry_run=sending.dry_run,
            preview=sending.preview,
            to=to,
            resend=True if sending.resend == "all" else sending.resend or False,
            expect=_expect(config) if sending.preview is None else None,
        )
    if sending.dry_run:
        return _dry(outcome, as_json, own_mail=config.templates.email is not None)
    if sending.preview is not None:
        return _previewed(outcome, as_json)
    return _print(outcome, as_json)


def _server(config: ReportConfig) -> SmtpServer | None:
    """The mail server, as one who types a command wants it: a host name that nobody knows is told of at once."""
    server = mail_server(config)
    return None if server is None else replace(server, retry_names=False)


def _expect(config: ReportConfig) -> Expect | None:
    """One who knows schedules, where Prefect's API is configured; Prefect is imported for that alone."""
    if not config.schedules or not may_have_api():
        return None
    from prefect_trackrecord._prefect.schedules import expecting
    from prefect_trackrecord._prefect.settings import has_api

    return expecting(config.filters, config.alerts.grace) if has_api() else None


def _dry(outcome: DeliveryOutcome, as_json: bool, *, own_mail: bool) -> int:
    if as_json:
        dump(outcome.report.model_dump(mode="json"))
    else:
        say(outcome.rendered.text)
        if own_mail:
            note("the mail's HTML, by its own template:")
            say(outcome.rendered.email)
    for mail in outcome.emails:
        note(f"{mail.email or mail.agent_name or mail.agent_id}: {mail.reason}")
    for problem in outcome.problems:
        complain(problem)
    return 0


def _previewed(outcome: DeliveryOutcome, as_json: bool) -> int:
    """Say where the page is; 1 where a template could not be used, as the look at it has failed then."""
    verdict, page = outcome.report.verdict.sentence, str(outcome.stored.page_path)
    if as_json:
        dump({"verdict": verdict, "page": page, "problems": list(outcome.problems)})
    else:
        say(verdict)
        say(f"page    {page}")
    for problem in outcome.problems:
        complain(problem)
    return 1 if outcome.problems else 0


def _place(config: ReportConfig, storage: str | None) -> TrackingStorage:
    """`--storage`, else what the configuration says, else as everywhere."""
    if storage or not config.storage:
        return storage_of(storage)
    if config.storage_options:
        return resolve_storage(StoreConfig(config.storage, config.storage_options))
    return storage_of(config.storage)


def _print(outcome: DeliveryOutcome, as_json: bool) -> int:
    stored, report = outcome.stored, outcome.report
    if as_json:
        dump(
            {
                "verdict": report.verdict.sentence,
                "page": str(stored.page_path or stored.page_url or stored.page_key),
                "text": str(stored.text_path or stored.text_key),
                "outbox": None if outcome.outbox is None else str(outcome.outbox),
                "emails": [e.model_dump(mode="json") for e in outcome.emails],
                "problems": list(outcome.problems),
            }
        )
    else:
        say(report.verdict.sentence)
        if stored.error is None:
            say(f"page    {stored.page_path or stored.page_url or stored.page_key}")
        if outcome.outbox is not None and outcome.emails:
            say(f"outbox  {outcome.outbox}")
        say(f"emails  {_counts(outcome)}")
    if any(e.status == "skipped" and e.outcome == "sent" for e in outcome.emails):
        note("who has this period's report is left out; --resend all sends it again")
    if any(NO_SUCH_HOST in (e.reason or "") for e in outcome.emails if e.outcome == "deferred"):
        note("mend the mail server's name (smtp: host); the same command then sends these mails")
    for problem in outcome.problems:
        complain(problem)
    failed = any(e.status == "failed" for e in outcome.emails)
    return 1 if failed or stored.error else 0


def _counts(outcome: DeliveryOutcome) -> str:
    by = Counter("kept in the outbox" if (e.reason or "").startswith(IN_OUTBOX) else e.status for e in outcome.emails)
    return ", ".join(f"{n} {status}" for status, n in sorted(by.items(), reverse=True)) or "nobody to send to"
