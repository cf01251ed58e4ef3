"""The page of documents names every key of a history, and of each document where its version stands."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from docs_blocks import DOCS

from prefect_trackrecord import RecordStatus, RunTracker, Status, ThoughtfulRecord
from prefect_trackrecord.delivery import parse_config, run_delivery_report, silence, watch
from prefect_trackrecord.tracking import resolve_storage

PAGE = (DOCS / "reference" / "documents.md").read_text()
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6364f8cf500f00038601805a347d6b0000000049454e44ae426082"
)
ONLY_IN_A_FOLDER = {".locks", "deliveries/outbox"}
ONLY_IN_A_BUCKET = {"index"}


class Invoice(ThoughtfulRecord):
    state: RecordStatus = Status.PENDING


def layout() -> list[str]:
    """The patterns of the page's layout, as it says them."""
    block = re.search(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block
    return [line.split("  ")[0] for line in block[1].splitlines()]


def matcher(pattern: str) -> re.Pattern[str]:
    days = pattern.replace("YYYY/MM/DD", "<year>/<month>/<day>")
    parts = re.split(r"(<\w+>)", days)
    return re.compile("".join("[^/]+" if part.startswith("<") else re.escape(part) for part in parts))


class Deaf:
    def notify(self, body, subject=None):
        pass


@pytest.fixture(params=["folder", "bucket"])
def history(request, tmp_path, monkeypatch):
    """The bytes of everything that lies in a history in which everything happened, by key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("prefect_trackrecord.documents.index.MIN_MISSING", 1)
    folder = request.param == "folder"
    url = str(tmp_path / "history") if folder else f"memory://{tmp_path.name}/x"
    storage = resolve_storage(url)
    if not folder:
        monkeypatch.setattr(type(storage.archive.store), "indexed", True)
    now = datetime.now(timezone.utc)
    for n in range(2):
        with RunTracker("nightly", storage=storage, now=lambda n=n: now - timedelta(days=2, minutes=n)) as tracker:
            tracker.track_file("a.wav", "failed", error_type="ValueError", error_message="too short")
            tracker.record_email_results([{"agent_id": "1", "agent_name": "A", "email": "a@b.c", "status": "sent"}])
            Invoice(id="INV-1").log_trace("Read", image=PNG)
    who = [{"name": "Ops", "email": "ops@example.com", "when": "on_change"}]
    config = parse_config({"title": "Calls", "window": "last-7-days", "recipients": who})
    run_delivery_report(config, now=now, archive=storage.archive)
    silence(storage.archive, "nightly", now + timedelta(hours=1))
    silence(storage.archive, "*", now + timedelta(hours=1))
    watch(storage.archive, config, now=now)
    for _ in range(3):
        storage.list_runs()
    if folder:
        root = tmp_path / "history"
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    store = storage.archive.store
    return {entry.key: store.get(entry.key).data for entry in store.list("")}


def test_every_key_is_named_and_every_name_is_met(history, request):
    patterns = {pattern: matcher(pattern) for pattern in layout()}
    assert len(patterns) > 15
    unnamed = [key for key in history if not any(p.fullmatch(key) for p in patterns.values())]
    assert unnamed == []
    absent = ONLY_IN_A_BUCKET if "bucket" not in request.node.name else ONLY_IN_A_FOLDER
    unmet = [
        pattern
        for pattern, p in patterns.items()
        if not any(p.fullmatch(key) for key in history)
        and not pattern.startswith(tuple(absent))
        and not (absent is ONLY_IN_A_FOLDER and pattern.endswith(".lock"))
    ]
    assert unmet == []


def versions() -> dict[re.Pattern[str], str]:
    """By the keys of the page's table the field that says the version."""
    found = {}
    for name, field in re.findall(r"^\| `([^`]+)` \| `(\w+)` 1", PAGE, re.MULTILINE):
        parts = re.split(r"(\*\*/|\*|<\w+>)", name if "/" in name else f"**/{name}")
        kinds = {"**/": "(?:.*/)?", "*": "[^/]+"}
        pattern = "".join(kinds.get(p, "[^/]+" if p.startswith("<") else re.escape(p)) for p in parts)
        found[re.compile(pattern)] = field
    return found


def test_each_document_says_its_version_where_the_page_says(history):
    table = versions()
    assert len(table) == 9
    without = set()
    for key, data in history.items():
        name = key.rsplit("/", 1)[-1]
        field = next((field for p, field in table.items() if p.fullmatch(key)), None)
        if name in {"digest.json", "looked.json"} or name.startswith("done-"):
            assert not {"version", "format", "schema_version"} & set(json.loads(data))
            without.add(name.partition("-")[0])
        elif key.endswith((".json", ".ndjson")):
            assert field is not None, f"{key}: which version it has the page does not say"
            found = json.loads(data.splitlines()[0] if key.endswith(".ndjson") else data)
            for one in found if isinstance(found, list) else [found]:
                assert one[field] == 1, key
    assert without == {"digest.json", "looked.json", "done"}
    assert all(word in PAGE.partition("The others say none")[2] for word in ("`done-...`", "`digest.json`", "looked"))
