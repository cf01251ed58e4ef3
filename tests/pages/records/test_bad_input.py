"""Bad input all the way: real records with odd ids, values and pictures, packed, unpacked, and opened in a browser."""

import json
import pickle
import threading
import zipfile
from typing import Any

import pytest
from pydantic import ConfigDict

from prefect_trackrecord.record import (
    RecordStatus,
    Status,
    ThoughtfulRecord,
    configure_records_tracing,
    load_records,
    pack_sharable_zip,
)
from prefect_trackrecord.record.tracing import tracing

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]

HOSTILE = "</script><script>document.title='bad'</script>"
IDS = ["../../etc/passwd", "nul\x00id", "turned \u202egnp.exe", HOSTILE, "a" * 3_000, "C:\\x", "%2e%2e", "ключ"]


class Odd(ThoughtfulRecord):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    value: Any = None
    status: RecordStatus = Status.PENDING


@pytest.fixture(autouse=True)
def new_process():
    tracing.reset()
    yield
    tracing.reset()


def odd_values():
    cycle: list[Any] = []
    cycle.append(cycle)
    return [
        threading.Lock(), b"\xff\x00", cycle, "lone \ud800 surrogate", float("nan"), float("inf"), HOSTILE, 10**400,
        {1: 2, (3, 4): 5, "</style>": HOSTILE}, "x" * 100_000, "turned \u202e and \u2066 back", {"__proto__": 1},
    ]  # fmt: skip


@pytest.mark.parametrize("more", [0, 120])
def test_everything_odd_is_there_and_the_page_opens(visit, until, tmp_path, more):
    early = Odd(id="made before configure")
    configure_records_tracing(tmp_path / "rf")
    for record_id in IDS:
        Odd(id=record_id).log_trace(f"id of {len(record_id)}")
    record = Odd(id="values")
    for value in odd_values():
        record.value = value
        record.log_trace(f"a {type(value).__name__}", reason=HOSTILE)
    for image in (tmp_path / "none.png", b"", b"MZ no picture", tmp_path, "\x00", 7):
        record.log_trace("pictured", image=image)
    early.log_trace("made early")
    Odd.model_construct(id="unvalidated", value={1, 2}, status="as it is").log_trace("not validated")
    copied = Odd(id="copied").model_copy(update={"value": 1})
    copied.log_trace("a copy")
    pickle.loads(pickle.dumps(copied)).log_trace("unpickled")  # noqa: S301
    for n in range(more):
        Odd(id=f"more-{n}")

    pack_sharable_zip(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert all(not name.startswith(("/", "\\")) and ".." not in name for name in archive.namelist())
        archive.extractall(tmp_path / "out")
    stories = {r.record_id: r for r in load_records(tmp_path / "out")}
    assert len(stories) == len(IDS) + 4 + more
    assert [t.action for t in stories["copied"].traces[1:]] == ["a copy", "unpickled"]
    assert stories["values"].traces[1].dict_updates["value"]["to"]["__type__"] == "_thread.lock"
    pictured = [t for t in stories["values"].traces if t.action == "pictured"]
    assert len(pictured) == 6
    assert all(t.unstorable for t in pictured), "what could not be kept is said"
    assert stories["unvalidated"].status == "as it is"
    json.loads((tmp_path / "out" / "records_logs.json").read_bytes(), parse_constant=pytest.fail)

    page = visit((tmp_path / "out" / "records_report.html").as_uri() + "#sort=id&record=values")
    assert page.title() == "Records"
    assert page.inner_text("#count").startswith(f"Showing {len(stories)} of {len(stories)}")
    shown = f"[...document.querySelectorAll('article h3')].some(h => h.innerText === {json.dumps('values')})"
    until(page, shown)
    page.fill("#q", "unpickled")
    until(page, f"document.querySelector('#count').innerText === 'Showing 1 of {len(stories)} records'")
