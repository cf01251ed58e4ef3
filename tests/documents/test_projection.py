"""Runs with the fields of reports only: the same values as the model's, or the model itself where a document is odd."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from prefect_trackrecord.documents import projection
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.documents.rollup import roll_up
from prefect_trackrecord.history import Numbers, sum_groups

pytest.importorskip("msgspec")
WHOLE: dict[str, Any] = {
    "run_id": "a",
    "command": "nightly",
    "started_at": "2025-01-01T03:59:45.600000Z",
    "completed_at": "2025-01-01T05:01:19+01:00",
    "status": "partial_success",
    "tags": ["x"],
    "metrics": {"rows": 3, "share": 0.5},
    "email_results": [{"email": "a@b.c", "status": "failed", "reason": "no such user"}],
    "emails_failed": 1,
    "failed_count": 1,
    "parameters": {"a": [1, {"b": None}]},
    "tracking_errors": {"disk full": 2},
    "rollup": roll_up(
        [{"status": "failed", "file_path": "p", "error_message": "m", "ended_at": "2025-01-01T04:00:00Z"}]
    ).model_dump(mode="json"),
}


def same(found: Any, model: RunMetadata) -> None:
    for name in projection.FIELDS:
        one, other = getattr(found, name), getattr(model, name)
        if name == "rollup" and other is not None:
            assert one.files == other.files
            assert [g.fingerprint for g in one.errors] == [g.fingerprint for g in other.errors]
            assert [g.last_seen for g in one.errors] == [g.last_seen for g in other.errors]
        elif name == "tags":
            assert list(one) == other
        elif name == "email_results":
            assert [(e.email, e.status, e.reason) for e in one] == [(e.email, e.status, e.reason) for e in other]
        else:
            assert one == other, name


def test_the_same_values_as_the_model() -> None:
    data = orjson.dumps(WHOLE)
    found, model = projection.facts(data), RunMetadata.model_validate_json(data)
    assert not isinstance(found, RunMetadata)
    same(found, model)
    assert Numbers.total([found]) == Numbers.total([model]) == Numbers.of(model)
    assert sum_groups([found]) == sum_groups([model])
    with pytest.raises(AttributeError):
        _ = found.parameters
    assert found.model_copy(update={"rollup": None}).rollup is None


@pytest.mark.parametrize(
    "odd",
    [
        {"started_at": "2025-01-01T03:59:45"},
        {"completed_at": "2025-01-01 03:59:45"},
        {"total_files": "7"},
        {"total_files": 7.0},
        {"duration_ms": None},
        {"rollup": None, "status": "running", "completed_at": None},
        {"a field of a newer version": {"x": 1}},
    ],
)
def test_odd_documents_are_left_to_the_model(odd: dict[str, Any]) -> None:
    data = orjson.dumps({**WHOLE, **odd})
    model = RunMetadata.model_validate_json(data)
    same(projection.facts(data), model)
    line = projection.to_line(projection.facts(data))
    for back in projection.of_lines(b"\n".join([line, line])):
        same(back, model)


@pytest.mark.parametrize("bad", [{"status": "fine"}, {"started_at": "yesterday"}, {"tags": 3}, {"run_id": None}])
def test_what_the_model_refuses_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        projection.facts(orjson.dumps({**WHOLE, **bad}))


def test_without_msgspec_the_model_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """And writes lines that msgspec reads, as it reads those of msgspec."""
    monkeypatch.setattr(projection, "_decode", RunMetadata.model_validate_json)
    monkeypatch.setattr(projection, "_decode_lines", None)
    facts = projection.facts(orjson.dumps(WHOLE))
    assert isinstance(facts, RunMetadata)
    line = projection.to_line(facts)
    monkeypatch.undo()
    (quick,) = projection.of_lines(line)
    assert not isinstance(quick, RunMetadata)
    same(quick, facts)
    monkeypatch.setattr(projection, "_decode_lines", None)
    for back in projection.of_lines(projection.to_line(quick)):
        same(back, facts)
