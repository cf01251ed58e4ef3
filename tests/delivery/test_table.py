"""Eight behaviours of real mail servers: what each recipient got, what the email log says, and what the ledger says.

The table is printed (`pytest -s`), and every cell of it is asserted. `got` counts the mails that the server took.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from servers import Handler, make_certificate, raw_server, smtp_server

from prefect_trackrecord.delivery import Ledger, parse_config, run_delivery_report
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

LOGIN = {"username": "me", "password": "hush"}
SENT, REJECTED, DEFERRED, UNKNOWN = (
    ("sent", "sent"),
    ("failed", "rejected"),
    ("failed", "deferred"),
    ("failed", "unknown"),
)
WHO = ("a", "b", "nobody", "later", "full", "spam", "drop", "c")


class Retrying(Handler):
    """Says 451 to each recipient at first, and takes the mail at the second try."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        self.seen[address] += 1
        if self.seen[address] == 1:
            return "451 4.7.1 greylisted, try later"
        return await super().handle_RCPT(server, session, envelope, address, options)


class DropsAfterTaking(Handler):
    """Takes the mail of `drop`, and loses the line before it says so."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        answer = "250 2.0.0 queued"
        self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        if envelope.rcpt_tos[0].startswith("drop"):
            server.transport.abort()
        return answer


BEHAVIOURS: dict[str, dict[str, Any]] = {
    # name: how the server is, what each recipient must have in log and ledger, and how many mails each got
    "plain": {"who": "abc", "said": {}},
    "STARTTLS": {"who": "abc", "said": {}, "tls": "starttls"},
    "SSL": {"who": "abc", "said": {}, "tls": "ssl"},
    "AUTH": {"who": "abc", "said": {}, "auth": True},
    "550 for some": {"who": ("a", "nobody", "c"), "said": {"nobody": REJECTED}},
    "451, then taken": {"who": "abc", "said": {}, "handler": Retrying, "smtp": {"retry_for": 5, "retry_first": 0.05}},
    "drop in DATA": {"who": ("a", "drop", "c"), "said": {"drop": UNKNOWN}},
    "drop in DATA, mail taken": {
        "who": ("a", "drop", "c"),
        "said": {"drop": UNKNOWN},
        "handler": DropsAfterTaking,
        "got": {"drop": 1},
    },
    "silent": {"who": "abc", "said": dict.fromkeys("abc", DEFERRED), "silent": True, "smtp": {"timeout": 0.5}},
    "STARTTLS refused": {"who": "ab", "said": dict.fromkeys("ab", REJECTED), "smtp": {"security": "starttls"}},
    "wrong password": {
        "who": "ab",
        "said": dict.fromkeys("ab", REJECTED),
        "auth": True,
        "smtp": {"password": "wrong"},
    },
    "all at once": {
        "who": WHO,
        "said": {"nobody": REJECTED, "later": DEFERRED, "full": DEFERRED, "spam": REJECTED, "drop": UNKNOWN},
    },
}


@contextlib.contextmanager
def serving(case: dict[str, Any], handler: Handler, folder: Path) -> Iterator[dict[str, Any]]:
    """The server of a case, and the `smtp` section by which it is reached."""
    base = {"host": "127.0.0.1", "security": case.get("tls", "none"), "timeout": 5, "retry_for": 0}
    if case.get("silent"):
        with raw_server(lambda s: time.sleep(3)) as port:
            yield {**base, "port": port, **case.get("smtp", {})}
        return
    options: dict[str, Any] = {"auth": case.get("auth", False)}
    if "tls" in case:
        context, ca_file = make_certificate(folder)
        options |= {"context": context, "ssl_only": case["tls"] == "ssl"}
        base["ca_file"] = str(ca_file)
    if case.get("auth"):
        base |= LOGIN
    with smtp_server(handler, **options) as port:
        yield {**base, "port": port, **case.get("smtp", {})}


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    rows = [f"{'server':26}{'recipient':22}{'got':>4}  {'email log':18}{'ledger':10}"]
    yield rows
    print("\n" + "\n".join(rows))


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_what_each_got_and_what_is_said_agree(name: str, tmp_path: Path, table: list[str]) -> None:
    case = BEHAVIOURS[name]
    handler = case.get("handler", Handler)()
    storage = TrackingStorage(base_path=tmp_path / "history")
    people = [f"{who}@example.com" for who in case["who"]]
    with serving(case, handler, tmp_path) as smtp, RunTracker("report", storage=storage, role="report") as tracker:
        config = parse_config({"name": "voice", "sender": "r@example.com", "recipients": people, "smtp": smtp})
        found = run_delivery_report(config, now=datetime.now(timezone.utc), archive=storage.archive, tracker=tracker)
    got = Counter(to for _, recipients, _ in handler.mails for to in recipients)
    log = {r.email: (r.status, r.outcome) for r in storage.archive.emails(storage.archive.run(tracker.run_id))}
    ledger = Ledger(storage.archive.store, "voice", found.report.period.key)
    assert set(log) == set(people)
    for who in people:
        short = who.split("@")[0]
        entry = ledger.look(who)
        assert entry is not None
        table.append(f"{name:26}{who:22}{got[who]:>4}  {'/'.join(log[who]):18}{entry.state:10}")
        assert log[who] == case["said"].get(short, SENT)
        assert entry.state == log[who][1]
        # What is said agrees with what happened: sent means one mail, rejected and deferred mean none.
        expected = {"sent": 1, "rejected": 0, "deferred": 0}.get(log[who][1], case.get("got", {}).get(short, 0))
        assert got[who] == expected
    assert [(r.email, (r.status, r.outcome)) for r in found.emails] == [(who, log[who]) for who in people]
