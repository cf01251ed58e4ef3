"""Records in tracked flows: where they land without being configured, and how they follow their tasks' states."""

from __future__ import annotations

import json
import sys

import pytest
from prefect import flow, task
from prefect.cache_policies import INPUTS
from prefect.task_runners import ProcessPoolTaskRunner

from prefect_trackrecord import RecordStatus, Status, ThoughtfulRecord, load_records, track
from prefect_trackrecord.errors import ConfigurationError, ParameterNameError
from prefect_trackrecord.journal.context import current_run
from prefect_trackrecord.record import configure_records_tracing


class Invoice(ThoughtfulRecord):
    amount: int = 0
    state: RecordStatus = Status.PENDING


def records_of(history, flow_name):
    (run,) = history.list_runs()
    return {r.record_id: r for r in load_records(history.archive.store.local_root / "records", flow_name, run.run_id)}


def statuses(entry):
    return [u.new_status for u in entry.status_updates]


def test_a_record_follows_its_task_through_retries_and_failure(history):
    tries = []

    @track(record="invoice")
    @task(retries=2, retry_delay_seconds=0)
    def check(invoice: Invoice):
        tries.append(invoice.id)
        if invoice.id == "bad" or tries.count(invoice.id) < 2:
            raise ValueError(f"no total on {invoice.id}")

    @track
    @flow
    def intake():
        for one in ("good", "bad"):
            check(Invoice(id=one), return_state=True)

    intake()
    found = records_of(history, "intake")
    good, bad = found["good"], found["bad"]
    assert statuses(good)[-3:] == [str(Status.RUNNING), str(Status.RETRYING), str(Status.COMPLETED)]
    assert statuses(bad)[-1] == str(Status.FAILED)
    assert [t.action for t in bad.traces[1:]] == [
        "Check running",
        "Check attempt failed",
        "Check retrying (attempt 2)",
        "Check attempt failed (attempt 2)",
        "Check retrying (attempt 3)",
        "Check failed (attempt 3)",
    ]
    errors = [t.error["message"] for t in bad.traces if t.error]
    assert errors == ["no total on bad"] * 3, "each attempt's error once"
    assert "raise ValueError" in bad.traces[2].error["traceback"]


def test_states_that_no_attempt_leads_to(history, tmp_path):
    @track(record="invoice")
    @task(cache_policy=INPUTS - "invoice", persist_result=True, result_storage_key="{parameters[number]}")
    def cached(number, invoice):
        return number

    @track(record="invoice")
    @task(timeout_seconds=0.2)
    async def slow(invoice: Invoice):
        import asyncio

        await asyncio.sleep(20)

    @track
    @flow
    async def states():
        cached(1, Invoice(id="first"))
        cached(1, Invoice(id="again"))
        await slow(Invoice(id="slow"), return_state=True)

    import asyncio

    asyncio.run(states())
    found = records_of(history, "states")
    assert found["first"].status == str(Status.COMPLETED)
    assert found["again"].status == str(Status.SKIPPED)
    assert found["slow"].status == str(Status.TIMEOUT)
    assert found["slow"].traces[-1].error["type"]


def test_a_status_that_the_program_gave_stays_and_a_mapping_counts(history):
    @track(record="invoices", record_statuses={"running": None, "completed": "BOOKED"})
    @task
    def book(invoices: list[Invoice]):
        invoices[1].state = Status.SUCCESS

    @track
    @flow
    def booking():
        book([Invoice(id="a"), Invoice(id="b")])

    booking()
    found = records_of(history, "booking")
    assert found["a"].status == "BOOKED"
    assert found["b"].status == str(Status.SUCCESS)
    assert str(Status.RUNNING) not in statuses(found["a"])


def test_options_are_checked_at_the_definition():
    @task
    def check(invoice): ...

    with pytest.raises(ParameterNameError, match="did you mean 'invoice'"):
        track(record="invoise")(check)
    with pytest.raises(ConfigurationError, match="did you mean 'completed'"):
        track(record="invoice", record_statuses={"complete": "X"})(check)
    with pytest.raises(ConfigurationError, match="option of a task"):
        track(record="invoice")(flow(lambda invoice: None, name="f"))


def test_what_is_no_record_is_counted_and_the_task_goes_on(history):
    @track(record="invoice")
    @task
    def check(invoice):
        return invoice

    @track
    @flow
    def intake():
        return check("1041")

    assert intake() == "1041"
    (run,) = history.list_runs()
    assert run.tracking_errors
    assert run.status.value == "success"


@track(record="invoice")
@task
def in_a_pool(invoice: Invoice):
    with invoice.step("read"):
        invoice.amount += 1
    invoice.log_trace("read it")
    return str(current_run().run_id)


@track
@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def pool(numbers):
    return [f.result() for f in [in_a_pool.submit(Invoice(id=n)) for n in numbers]]


@pytest.mark.skipif(sys.platform == "win32", reason="paths")
def test_records_of_pool_workers_land_in_the_flow_s_run_and_are_complete_at_its_end(history):
    names = [f"inv-{n}" for n in range(6)]
    (run_id,) = set(pool(names))
    found = records_of(history, "pool")
    assert sorted(found) == names
    for entry in found.values():
        assert entry.status == str(Status.COMPLETED)
        assert entry.values["amount"] == 1
        assert "read it" in [t.action for t in entry.traces]
    folder = history.archive.store.local_root / "records" / "pool" / run_id
    log = json.loads((folder / "records_logs.json").read_text())
    assert len(log["data"]) == 6, "the log is whole at the flow's end, not only at the workers'"
    assert all(name in (folder / "records_report.html").read_text() for name in names)


@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def configured_inside(folder):
    configure_records_tracing(folder)
    Invoice(id="of the flow").log_trace("made")
    return in_a_pool.submit(Invoice(id="of a task")).result()


@pytest.mark.skipif(sys.platform == "win32", reason="paths")
@pytest.mark.parametrize("tracked", [False, True])
def test_where_a_flow_says_that_records_go_holds_for_its_tasks_processes(history, tmp_path, tracked):
    run_id = (track(configured_inside) if tracked else configured_inside)(tmp_path / "here")
    found = load_records(tmp_path / "here", "configured-inside", run_id)
    assert {r.record_id for r in found} == {"of the flow", "of a task"}
    assert "read it" in [t.action for r in found for t in r.traces]
