"""The invoices' example: what became of each invoice, and what the page says."""

import contextlib
import io
import sys
from pathlib import Path

import pytest

from prefect_trackrecord import load_records

FLOWS = Path(__file__).parents[2] / "flows"


@pytest.fixture(scope="module")
def intake(prefect_api, tmp_path_factory):
    """The run's folder, and what was printed."""
    with pytest.MonkeyPatch.context() as patch:
        history = tmp_path_factory.mktemp("intake") / "history"
        patch.setenv("TRACKING_PATH", str(history))
        patch.syspath_prepend(str(FLOWS))
        import invoice_intake

        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert invoice_intake.main() == 0
        del sys.modules["invoice_intake"], sys.modules["invoice_samples"]
    page = Path(printed.getvalue().rpartition("The page about them: ")[2].strip())
    assert page.is_relative_to(history)
    return page.parent, printed.getvalue()


def test_what_became_of_the_invoices(intake):
    folder, printed = intake
    records = {r.record_id: r for r in load_records(folder)}
    assert {key: r.status for key, r in records.items()} == {
        **dict.fromkeys(("INV-1041", "INV-1042", "INV-1043", "INV-1046", "INV-1047", "INV-1050"), "Approved"),
        **dict.fromkeys(("INV-1044", "INV-1045", "INV-1051"), "Rejected"),
        "INV-1048": "Failed", "INV-1049": "Awaiting Review", "INV-1052": "Skipped",
    }  # fmt: skip
    assert "INV-1044  Rejected" in printed

    rejected, failed = records["INV-1044"].error, records["INV-1048"].error
    assert (rejected["kind"], rejected["code"]) == ("business", "DUPLICATE")
    assert (failed["kind"], failed["type"]) == ("application", "ConnectionError")
    tried = [t.action for t in records["INV-1048"].traces if t.error]
    assert len(tried) == 3 + 3, "each attempt's step, and each attempt"
    assert records["INV-1047"].status_updates[-1].new_status == "Approved"
    assert "Retrying" in [u.new_status for u in records["INV-1047"].status_updates]


def test_what_was_mended_is_seen_as_differences(intake):
    records = {r.record_id: r for r in load_records(intake[0])}
    changes = {k: {p: d for t in r.traces[1:] for p, d in t.dict_updates.items()} for k, r in records.items()}
    assert changes["INV-1042"]["total"] == {"from": 240.5, "to": 204.5}
    assert changes["INV-1043"]["vendor"] == {"from": "northwind  traders", "to": "Northwind Traders"}
    assert changes["INV-1046"]["due"]["from"] is None
    twice = next(t for t in records["INV-1050"].traces if "twice" in t.reason)
    assert [k["kind"] for k in twice.dict_updates_kinds.values()] == ["removed"]
    assert [s["name"] for s in records["INV-1042"].steps] == ["check", "book"]


def test_the_page_has_all_of_it(intake):
    folder, _ = intake
    page = (folder / "records_report.html").read_text(encoding="utf-8")
    assert page.count("<article") == 12
    assert page.count("data:image/png;base64,") == 11
    assert "order PO-5521 was billed by INV-1041 already" in page
    assert len(list((folder / "images").glob("*.png"))) == 11
