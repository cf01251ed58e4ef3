"""Invoices become records: read, checked, mended where that is safe, approved or rejected; each tells its own story.

`python flows/invoice_intake.py` makes a dozen invoices to work on, and says where the page about them is. It needs
no server: where none is configured, Prefect starts one for the time of the run.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from invoice_samples import write_samples
from prefect import flow, get_run_logger, task
from prefect.futures import wait
from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS as STARTUP
from prefect.settings import temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from prefect_trackrecord import RecordStatus, Status, ThoughtfulRecord, current_tracker, load_records, track

VENDORS = ("Adventure Works", "Contoso Paper", "Fabrikam Tools", "Northwind Traders")
LIMIT = 10_000.0


class Invoice(ThoughtfulRecord):
    """One invoice. Its id is its number; approved and rejected ones stay so."""

    vendor: str = ""
    order: str = ""
    issued: str = ""
    due: str | None = None
    lines: list[dict[str, Any]] = Field(default_factory=list)
    total: float = 0.0
    status: RecordStatus = Status.PENDING
    record_terminal = (Status.APPROVED, Status.REJECTED)


class RejectedError(Exception):
    """The invoice itself is to blame; trying again would not help."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@track(record="invoice")
@task(retries=2, retry_delay_seconds=0.3)
def handle(invoice: Invoice, billed: dict[str, str]) -> None:
    """Bring one invoice to its end. What the ledger refuses is tried again."""
    try:
        with invoice.step("check"):
            check(invoice, billed)
    except RejectedError as exc:
        invoice.fail(exc, kind="business", code=exc.code, status=Status.REJECTED)
        return
    mend(invoice)
    if not invoice.total:
        invoice.status = Status.SKIPPED
        invoice.log_trace("Left out", reason="there is nothing to pay")
    elif invoice.total > LIMIT:
        invoice.status = Status.AWAITING_REVIEW
        invoice.log_trace("Sent to a person", reason=f"{invoice.total:,.2f} is above the limit of {LIMIT:,.0f}")
    else:
        with invoice.step("book"):
            book(invoice)
        invoice.status = Status.APPROVED
        invoice.log_trace("Approved", reason=f"pay {invoice.total:,.2f} until {invoice.due}")


def read(path: Path) -> Invoice:
    """The record of what the scanner's software read; its story begins here."""
    try:
        body = json.loads(path.read_bytes())
    except ValueError as exc:
        invoice = Invoice(id=path.stem)
        invoice.log_trace("The file can't be read", reason=str(exc))
        return invoice
    invoice = Invoice(id=body.pop("number"), **body)
    scan = path.with_suffix(".png")
    if scan.exists():
        invoice.log_trace("Read the scan", reason=scan.name, image=scan)
    return invoice


def check(invoice: Invoice, billed: dict[str, str]) -> None:
    """Refuse what nobody should pay.

    Raises:
        RejectedError: why.
    """
    time.sleep(0.05)
    if not invoice.vendor:
        raise RejectedError("UNREADABLE", "the scanner's file is damaged; scan it again")
    invoice.vendor = " ".join(invoice.vendor.split()).title()
    if invoice.vendor not in VENDORS:
        raise RejectedError("UNKNOWN_VENDOR", f"{invoice.vendor} is not among our vendors")
    if billed[invoice.order] != invoice.id:
        raise RejectedError("DUPLICATE", f"order {invoice.order} was billed by {billed[invoice.order]} already")


def mend(invoice: Invoice) -> None:
    """Put right what can only be meant one way, and say so."""
    once: list[dict[str, Any]] = []
    for line in invoice.lines:
        if line not in once:
            once.append(line)
    if invoice.due is None:
        invoice.due = (date.fromisoformat(invoice.issued) + timedelta(days=30)).isoformat()
        invoice.log_trace("Fixed", reason="no due date: our 30 days count")
    if len(once) < len(invoice.lines):
        invoice.lines[:] = once
        invoice.log_trace("Fixed", reason="a line stood there twice")
    total = round(sum(line["quantity"] * line["price"] for line in invoice.lines), 2)
    if invoice.total != total:
        invoice.total = total
        invoice.log_trace("Fixed", reason="the total was not the sum of the lines")


_busy: dict[str, int] = {"INV-1047": 1, "INV-1048": 9}
"""How often the ledger of this example does not answer, by invoice."""


def book(invoice: Invoice) -> None:
    """Write the invoice into the ledger.

    Raises:
        ConnectionError: the ledger does not answer.
    """
    time.sleep(0.05)
    if _busy.get(invoice.id, 0):
        _busy[invoice.id] -= 1
        raise ConnectionError(f"the ledger did not answer for {invoice.id} in 30 s")


@track
@flow(name="invoice-intake", task_runner=ThreadPoolTaskRunner(max_workers=4))  # type: ignore[arg-type]
def invoice_intake(folder: Path) -> Path | None:
    """Handle every invoice of a folder; returns where the page about them will be, where that is on this machine."""
    invoices = [read(path) for path in sorted(folder.glob("*.json"))]
    billed: dict[str, str] = {}
    for invoice in invoices:
        billed.setdefault(invoice.order, invoice.id)
    wait([handle.submit(invoice, billed) for invoice in invoices])
    tracker = current_tracker()
    root = tracker.storage.archive.store.local_root
    get_run_logger().info("%s invoices handled", len(invoices))
    return root / "records" / "invoice-intake" / tracker.run_id if root is not None else None


def main() -> int:
    """Make invoices, handle them, and say what became of them; returns the exit code."""
    # The first time, the server makes its database, which a busy machine feels.
    with tempfile.TemporaryDirectory() as folder, temporary_settings({STARTUP: 120}):
        write_samples(Path(folder))
        place = invoice_intake(Path(folder))
    if place is None:
        print("The records are in the bucket, below records/invoice-intake/.")
        return 0
    for record in load_records(place):
        why = next((trace.reason for trace in reversed(record.traces) if trace.reason), "")
        print(f"{record.record_id}  {record.status:16} {why}")
    print(f"\nThe page about them: {place / 'records_report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
