"""Secrets in what a record is known by: its id and type, statuses, steps, codes, keys, the paths of pictures."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import ConfigDict

from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.journal.masking import MASK
from prefect_trackrecord.record import (
    RecordStatus,
    ThoughtfulRecord,
    configure_records_tracing,
    dump_records,
    load_records,
    pack_sharable_zip,
    record_history,
    save_records_to_html,
)
from prefect_trackrecord.record.tracing import tracing

S = "canary-9f8e7d6c5b"


class Order(ThoughtfulRecord):
    status: RecordStatus = RecordStatus("")
    notes: dict = {}


class Open(ThoughtfulRecord):
    model_config = ConfigDict(extra="allow")


class Ruled(ThoughtfulRecord):
    record_type: ClassVar[str | None] = f"token={S}"
    record_transitions: ClassVar = {
        "": ["new"],
        "new": [f"sent with password={S}"],
        f"sent with password={S}": ["done"],
    }
    record_terminal: ClassVar = ["done"]
    status: RecordStatus = RecordStatus("new")


def leaks(folder):
    return [p for p in folder.rglob("*") if p.is_file() and (S.encode() in p.read_bytes() or S in str(p))]


def test_nothing_of_a_record_shows_a_secret(tmp_path, folder, caplog):
    configure_records_tracing(folder)
    order = Order(id=f"https://h/orders?token={S}")
    order.status = RecordStatus(f"refused: password={S}")
    with order.step(f"send with password={S}") as step:
        step.outcome = f"token={S}1"
    order.fail("no", code=f"password={S}", status=None)
    order.notes = {f"password={S}": 1, "inner": [{f"token={S}": None, "argv": ["--password", S]}]}
    order.log_trace("seen", image=f"https://h/a.png?sig={S}")
    order.log_trace("seen", image=f"/no/such/password={S}/a.png")
    dump_records()
    save_records_to_html(tmp_path / "page.html")
    pack_sharable_zip(tmp_path / "all.zip")
    assert not leaks(tmp_path)
    assert S not in caplog.text
    (entry,) = load_records(folder)
    assert entry.status == f"refused: password={MASK}"
    assert [(s["name"], s["outcome"]) for s in entry.steps] == [(f"send with password={MASK}", f"token={MASK}")]
    assert entry.error["code"] == f"password={MASK}"
    (key, inner) = entry.values["notes"]
    assert key.startswith(f"password={MASK}~")
    assert entry.values["notes"][inner][0]["argv"] == ["--password", MASK]
    assert [MASK in t.unstorable["image"] for t in entry.traces[-2:]] == [True, True]
    assert order.status == f"refused: password={S}"  # the program's own is left alone


def test_two_ids_that_differ_in_a_secret_stay_two_and_are_found_by_either_name(folder):
    configure_records_tracing(folder)
    ids = [f"https://h/orders?token={S}{n}" for n in (1, 2)]
    for one in ids:
        Order(id=one, status=RecordStatus("new"))
    tracing.reset()  # another process
    configure_records_tracing(folder)
    for one in ids:
        assert Order(id=one).status == "new"
        Order(id=one).log_trace("again")
    dump_records()
    assert len({entry.record_id for entry in load_records(folder)}) == 2
    for one in ids:
        (found,) = record_history(one, folder)
        assert [t.action for t in found.entry.traces] == ["Initialize record", "again"]
        (same,) = record_history(found.entry.record_id, folder, "Order")
        assert same == found
    assert not leaks(folder)


def test_rules_hold_for_statuses_and_types_with_secrets(folder):
    configure_records_tracing(folder)
    ruled = Ruled(id="1")
    sent = RecordStatus(f"sent with password={S}")
    ruled.status = sent
    ruled.status = sent
    again = Ruled(id="1", status=sent)
    assert again.status == sent
    with pytest.raises(UsageError, match="may be followed by 'done'") as told:
        again.status = RecordStatus("new")
    assert S not in str(told.value)
    again.status = RecordStatus("done")
    dump_records()
    (entry,) = load_records(folder)
    assert [u.new_status for u in entry.status_updates] == [f"sent with password={MASK}", "done"]
    assert record_history("1", folder, f"token={S}")
    assert not leaks(folder)


def test_keys_that_change(folder):
    configure_records_tracing(folder)
    one = Open(id="1", **{f"password={S}": None, "n": 1})
    order = Order(id="2", notes={f"db://u:{S}@h": 1})
    one.log_trace("same")
    order.log_trace("same")
    one.n = 2
    order.notes = {f"db://u:{S}@h": 2, f"db://u:{S}2@h": 3}
    one.log_trace("changed")
    order.log_trace("changed")
    dump_records()
    first, second = load_records(folder)
    assert [list(t.dict_updates) for t in first.traces[1:]] == [[], ["n"]]
    assert [len(t.dict_updates) for t in second.traces[1:]] == [0, 2]
    assert list(second.traces[2].dict_updates.values()) == [{"from": 1, "to": 2}, {"from": None, "to": 3}]
    assert all(path.startswith(f'notes["db://u:{MASK}@h~') for path in second.traces[2].dict_updates)
    assert not leaks(folder)
