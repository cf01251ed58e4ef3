"""The delivering processes are killed at random moments, two at a time, and restarted until all is done.

Six kills here; `TRACKRECORD_CHAOS=200` for as many as you like.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from collections import Counter
from datetime import datetime, timezone
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from killed import WHO, config, deliver_once
from servers import Handler, smtp_server

from prefect_trackrecord.delivery import Ledger, run_delivery_report
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

NOW = datetime.now(timezone.utc)
KILLS = int(os.environ.get("TRACKRECORD_CHAOS") or 6)


class Slow(Handler):
    """One that takes its time at every step, so that kills fall into all of them."""

    async def handle_RCPT(self, *args: Any) -> str:
        await asyncio.sleep(random.random() * 0.01)
        return await super().handle_RCPT(*args)

    async def handle_DATA(self, *args: Any) -> str:
        await asyncio.sleep(random.random() * 0.01)
        answer = await super().handle_DATA(*args)
        await asyncio.sleep(random.random() * 0.01)  # it has the mail, and has not said so
        return answer


def is_settled(ledger: Ledger, who: str) -> bool:
    entry = ledger.look(who)
    return entry is not None and entry.state in {"sent", "unknown"}


@pytest.mark.timeout(3600)
def test_nobody_gets_it_twice_and_nobody_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "history"
    storage = TrackingStorage(base_path=root)
    with RunTracker("job", storage=storage) as tracker:
        tracker.track_file("a", "success")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["prefect_trackrecord.delivery", "prefect_trackrecord.pages.delivery_report"])
    handler = Slow()
    period = config("any", 1).period(None, None, NOW).key
    kills = campaigns = unknown_in_all = unknown_but_got = 0
    with smtp_server(handler) as port:
        while kills < KILLS:
            name = f"campaign-{campaigns}"
            campaigns += 1
            handler.mails.clear()
            ledger = Ledger(storage.archive.store, name, period)
            while kills < KILLS and not all(is_settled(ledger, who) for who in WHO):
                workers = []
                for _ in range(2):
                    begun = context.Event()
                    worker = context.Process(target=deliver_once, args=(str(root), name, port, NOW, begun))
                    worker.start()
                    workers.append((worker, begun))
                for worker, begun in workers:
                    assert begun.wait(60)
                    time.sleep(random.random() * 0.25)
                    if worker.is_alive() and kills < KILLS:
                        worker.kill()
                        kills += 1
                for worker, _ in workers:
                    worker.join(60)
                    assert worker.exitcode is not None
            # Without a kill: whoever is open now gets it, or is said to be unknown.
            found = run_delivery_report(config(name, port), now=NOW, archive=storage.archive)
            got = Counter(str(message_from_bytes(raw)["Message-ID"]) for _, _, raw in handler.mails)
            got_by = Counter(to for _, recipients, _ in handler.mails for to in recipients)
            said = {r.email: r.outcome for r in found.emails}
            assert max(got.values(), default=0) <= 1, got
            assert max(got_by.values(), default=0) <= 1, got_by
            assert set(said) == set(WHO)
            assert set(said.values()) <= {"sent", "unknown"}, said
            for who, outcome in said.items():
                if outcome == "sent":
                    assert got_by[str(who)] == 1, f"{who} is left out"
            states = {who: entry.state for who in WHO if (entry := ledger.look(who)) is not None}
            assert states == said
            unknown = [who for who, outcome in said.items() if outcome == "unknown"]
            unknown_in_all += len(unknown)
            unknown_but_got += sum(got_by[str(who)] for who in unknown)
    print(
        f"{kills} kills in {campaigns} deliveries to {len(WHO)}: nobody twice, nobody left out, "
        f"{unknown_in_all} of {campaigns * len(WHO)} unknown ({unknown_but_got} of them had it)"
    )
    assert kills >= KILLS
