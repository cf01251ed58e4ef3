"""A flow whose arguments say where its history is kept."""

from __future__ import annotations

import pytest
from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner

from prefect_trackrecord import track
from prefect_trackrecord.errors import ParameterNameError
from prefect_trackrecord.tracking import TrackingStorage

pytestmark = pytest.mark.prefect


@track(file="path")
@task
def read(path):
    return path


def place_of(customer, base):
    return f"{base}/{customer}"


@track(storage=place_of)
@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def intake(customer, base):
    return read.submit("a.wav").result()


def test_each_customer_has_a_history_and_task_processes_find_it(history, tmp_path):
    for customer in ("ada", "bo"):
        intake(customer, str(tmp_path / "kept"))
    for customer in ("ada", "bo"):
        storage = TrackingStorage(base_path=tmp_path / "kept" / customer)
        (run,) = storage.list_runs()
        assert run.parameters["customer"] == customer
        assert [row.file_path for row in storage.archive.files(run)] == ["a.wav"]
    assert history.list_runs() == []


def test_arguments_that_name_no_place_leave_it_to_the_settings(history, caplog):
    def refuse(customer):
        raise LookupError(f"no such customer: {customer}")

    @track(storage=refuse)
    @flow
    def nightly(customer):
        return customer

    assert nightly("nobody") == "nobody"
    (run,) = history.list_runs()
    assert run.status.value == "success"
    assert "LookupError: no such customer" in caplog.text


def test_the_callable_is_checked_at_the_definition():
    with pytest.raises(ParameterNameError, match="no parameter 'client'"):
        track(storage=lambda client: "x")(flow(lambda customer: None, name="f"))
