"""`trackrecord records show`."""

import json
import re

import pytest

from prefect_trackrecord import RecordStatus, RunTracker, Status, ThoughtfulRecord
from prefect_trackrecord.errors import RecordNotFoundError
from prefect_trackrecord.record.tracing import tracing


class Invoice(ThoughtfulRecord):
    total: int = 0
    state: RecordStatus = Status.PENDING


@pytest.fixture(autouse=True)
def _fresh():
    tracing.reset()
    yield
    tracing.reset()


def one_run(history, change):
    with RunTracker("intake", storage=history) as tracker:
        change(Invoice(id="INV-1041"))
        return tracker.run_id


def fixed(invoice):
    invoice.total = 12
    invoice.log_trace("Total fixed", "a digit was missing")


def refused(invoice):
    invoice.fail(ValueError("paid before"), kind="business", code="DUPLICATE")


def test_a_story_across_runs_in_order(trackrecord, history):
    runs = [one_run(history, fixed), one_run(history, refused)]
    done = trackrecord("records", "show", "INV-1041")
    assert done.code == 0, done.err
    assert done.out.index(runs[0]) < done.out.index(runs[1])
    for words in ("Total fixed", "a digit was missing", "total: 0 -> 12", "ValueError: paid before"):
        assert words in done.out
    told = json.loads(trackrecord("records", "show", "INV-1041", "--json").out)
    assert [one["run_id"] for one in told] == runs
    assert told[1]["record"]["error"]["code"] == "DUPLICATE"


def test_unknown_records_types_and_folders(trackrecord, history, tmp_path):
    one_run(history, fixed)
    assert trackrecord("records", "show", "INV-1").code == 1
    done = trackrecord("records", "show", "INV-1041", "--type", "Claim")
    assert (done.code, done.out) == (1, "")
    place = f"{history.url}/records"
    said = f"no record 'INV-1041' of type 'Claim' in {place}; there is Invoice 'INV-1041'"
    assert done.err == f"error TR304: {said}\n"
    done = trackrecord("records", "show", "INV-1", "--type", "Claim")
    assert done.err == f"error TR304: no record 'INV-1' of type 'Claim' in {place}\n"
    folder = tmp_path / "history" / "records"
    assert trackrecord("records", "show", "INV-1041", "--folder", folder, storage=False).code == 0


def test_the_way_out_needs_no_extra_and_works_in_a_folder(trackrecord, history, tmp_path):
    way_out = RecordNotFoundError.__doc__.partition("Way out:")[2]
    assert set(re.findall(r"`trackrecord (\w+ \w+)", way_out)) == {"records report", "runs list"}
    run_id = one_run(history, fixed)
    assert run_id in trackrecord("runs", "list").out
    page = tmp_path / "page.html"
    for words, storage in (((), True), (("--folder", tmp_path / "history" / "records"), False)):
        assert trackrecord("records", "report", run_id, "--output", page, *words, storage=storage).code == 0
        assert "INV-1041" in page.read_text()
