"""Other ways than mail: anything with `.notify(body, subject)`, such as Prefect's blocks for Slack, Teams and more."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.delivery.ledger_entry import Resend
from prefect_trackrecord.delivery.once import Handed, once
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.pages.words import clip, one_line
from prefect_trackrecord.report import Report

MAX_GROUPS = 5


class Channel(Protocol):
    """Whatever can be told a text."""

    def notify(self, body: str, subject: str | None = None) -> Any:
        """Tell it."""


@dataclass(frozen=True)
class Note:
    """What a channel is told."""

    subject: str
    body: str


def brief(report: Report, page_url: str | None) -> str:
    """The report in a few lines: verdict, the errors that are open, and where the whole is."""
    lines = [report.verdict.sentence]
    if report.verdict.detail:
        lines.append(report.verdict.detail)
    still = [g for g in report.groups.items if g.state in {"new", "recurring"}]
    for group in still[:MAX_GROUPS]:
        word = "new" if group.state == "new" else "still failing"
        message = clip(one_line(group.example_message or group.message or "no message"), 200)
        lines.append(f"- {word}: {group.error_type or 'Error'} x {group.count}: {message}")
    if len(still) > MAX_GROUPS:
        lines.append(f"- and {len(still) - MAX_GROUPS} more errors")
    if page_url:
        lines.append(page_url)
    return "\n".join(lines)


def notify_all(
    channels: Mapping[str, Channel],
    note: Note,
    *,
    now: datetime,
    ledger: Ledger | None = None,
    resend: Resend = False,
    progress: Callable[[str], None] | None = None,
    on_result: Callable[[EmailResult], None] | None = None,
) -> list[EmailResult]:
    """Tell every channel once.

    Returns:
        A result per channel, under its name: `sent`, or `failed` with `outcome` unknown where it raised an error: no
        error of a foreign service tells whether the message was posted before it.
    """
    results = []
    for name, channel in channels.items():

        def hand_over(before_data: Callable[[], None] | None, channel: Channel = channel) -> Handed:
            if before_data is not None:
                before_data()
            return _notify(channel, note)

        handed = once(ledger, f"channel:{name}", hand_over, resend=resend)
        result = EmailResult(
            agent_name=name, status=handed.status, outcome=handed.outcome, reason=handed.reason, at=now
        )
        results.append(result)
        if on_result is not None:
            on_result(result)
        if progress is not None:
            progress(f"{name}: {result.status}{f' ({result.reason})' if result.reason else ''}")
    return results


def _notify(channel: Channel, note: Note) -> Handed:
    # Prefect's blocks keep a failure to themselves unless they are asked not to.
    strict = getattr(channel, "raise_on_failure", None)
    try:
        with strict() if callable(strict) else contextlib.nullcontext():
            _wait_for(channel.notify(note.body, note.subject))
    except Exception as exc:  # noqa: BLE001 - the channel is somebody else's code
        return Handed("failed", "unknown", clip(one_line(f"{type(exc).__name__}: {exc}"), 500))
    return Handed("sent", "sent")


def _wait_for(result: Any) -> None:
    """Where a loop is running Prefect's blocks give something to be awaited; a loop of its own does that."""
    if not inspect.isawaitable(result):
        return
    errors: list[BaseException] = []

    async def wait() -> None:
        await result

    def run() -> None:
        try:
            asyncio.run(wait())
        except BaseException as exc:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(exc)

    thread = threading.Thread(target=run, name="trackrecord-notify")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
