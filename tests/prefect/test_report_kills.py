"""The report flow is killed at random moments of its delivery, two runs at a time, and restarted until all is done.

Both runs are killed once here, with four recipients; `TRACKRECORD_CHAOS=200` for as many kills as you like, and 20
recipients.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from email import message_from_bytes
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from prefect_trackrecord.delivery import Ledger, parse_config
from prefect_trackrecord.documents.seal import utc_now
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

sys.path.insert(0, str(Path(__file__).parents[1] / "delivery"))
from killed_flow import report_once  # noqa: E402
from servers import Handler, smtp_server  # noqa: E402

pytestmark = pytest.mark.prefect
KILLS = int(os.environ.get("TRACKRECORD_CHAOS") or 2)
WHO = [f"r{n:02d}@example.com" for n in range(20 if KILLS > 2 else 4)]


class Slow(Handler):
    """One that takes its time at every step, so that kills fall into all of them."""

    async def handle_RCPT(self, *args):
        await asyncio.sleep(random.random() * 0.03)
        return await super().handle_RCPT(*args)

    async def handle_DATA(self, *args):
        await asyncio.sleep(random.random() * 0.03)
        answer = await super().handle_DATA(*args)
        await asyncio.sleep(random.random() * 0.03)  # it has the mail, and has not said so
        return answer


@pytest.mark.timeout(7200)
def test_the_flow_sends_to_nobody_twice_and_leaves_nobody_out(tmp_path):
    home, root = tmp_path / "home", tmp_path / "history"
    storage = TrackingStorage(base_path=root)
    with RunTracker("job", storage=storage) as tracker:
        tracker.track_file("a", "success")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["prefect", "prefect_trackrecord._prefect.flows"])
    handler = Slow()
    kills = campaigns = unknown_in_all = unknown_but_got = 0

    def start(config):
        begun = context.Event()
        arguments = (str(home), PREFECT_API_URL.value(), str(root), config, begun)
        worker = context.Process(target=report_once, args=arguments)
        worker.start()
        return worker, begun

    with smtp_server(handler) as port:
        smtp = {"host": "127.0.0.1", "port": port, "security": "none", "timeout": 20, "retry_for": 0}
        while kills < KILLS:
            config = {"name": f"campaign-{campaigns}", "window": "today", "sender": "r@example.com", "smtp": smtp}
            config |= {"recipients": WHO, "schedules": False, "storage": str(root)}
            campaigns += 1
            handler.mails.clear()
            period = parse_config(config).period(None, None, utc_now()).key
            ledger = Ledger(storage.archive.store, config["name"], period)

            def states(ledger=ledger):
                return {who: entry.state for who in WHO if (entry := ledger.look(who)) is not None}

            while kills < KILLS and not (len(states()) == len(WHO) and set(states().values()) <= {"sent", "unknown"}):
                workers = [start(config) for _ in range(2)]
                for worker, begun in workers:
                    assert begun.wait(120)
                    time.sleep(random.random() * 1.2)
                    if worker.is_alive() and kills < KILLS:
                        worker.kill()
                        kills += 1
                for worker, _ in workers:
                    worker.join(120)
                    assert worker.exitcode is not None
            # Without a kill: whoever is open now gets it, or is said to be unknown.
            before = {run.run_id for run in storage.list_runs()}
            worker, _ = start(config)
            worker.join(120)
            assert worker.exitcode == 0
            (own,) = [run for run in storage.list_runs() if run.run_id not in before]
            got = Counter(str(message_from_bytes(raw)["Message-ID"]) for _, _, raw in handler.mails)
            got_by = Counter(to for _, recipients, _ in handler.mails for to in recipients)
            said = {r.email: r.outcome for r in own.email_results}
            assert max(got.values(), default=0) <= 1, got
            assert max(got_by.values(), default=0) <= 1, got_by
            assert set(said) == set(WHO)
            assert set(said.values()) <= {"sent", "unknown"}, said
            assert states() == said
            for who, outcome in said.items():
                if outcome == "sent":
                    assert got_by[who] == 1, f"{who} is left out"
            unknown = [who for who, outcome in said.items() if outcome == "unknown"]
            unknown_in_all += len(unknown)
            unknown_but_got += sum(got_by[who] for who in unknown)
            print(f"{config['name']}: {kills} kills so far, {len(unknown)} of {len(WHO)} unknown", flush=True)
    print(
        f"{kills} kills of the flow in {campaigns} deliveries to {len(WHO)}: nobody twice, nobody left out, "
        f"{unknown_in_all} of {campaigns * len(WHO)} unknown ({unknown_but_got} of them had it)"
    )
    assert kills >= KILLS
