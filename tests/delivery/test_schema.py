"""The shipped JSON Schema and the reference are in step with the models, and accept what the loader accepts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from prefect_trackrecord.delivery import parse_config
from prefect_trackrecord.delivery.schema import MODELS, PATH, descriptions, text
from prefect_trackrecord.delivery.server import VARIABLES
from prefect_trackrecord.report import Filters

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "delivery-report.md"
SCHEMA = json.loads(PATH.read_text(encoding="utf-8"))


def test_the_shipped_schema_is_that_of_the_models() -> None:
    assert json.loads(text()) == SCHEMA, "run: python -m prefect_trackrecord.delivery.schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_reference_lists_every_key_and_no_other() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"\w+", row)}
    assert listed == {name for model in MODELS for name in model.model_fields}


def test_the_reference_lists_every_variable_of_the_mail_server() -> None:
    told = REFERENCE.read_text(encoding="utf-8")
    assert [name for name in VARIABLES if f"`{name}`" not in told] == []


def test_every_key_says_what_it_is() -> None:
    for model in MODELS:
        if model is not Filters:
            assert set(descriptions(model)) == set(model.model_fields), model.__name__


def test_the_reference_s_example_is_right() -> None:
    example = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL)[0]
    data = yaml.safe_load(example)
    jsonschema.validate(data, SCHEMA)
    assert parse_config(data).heading == "Invoices"


@pytest.mark.parametrize(
    ("data", "right"),
    [
        ({"recipients": "a@b.c", "cc": {"email": "x@y.z"}, "sender": "A <a@b.c>"}, True),
        ({"recipients": ["a@b.c", {"email": "x@y.z", "agent_id": 17, "filters": {"tag": "x"}}]}, True),
        ({"filters": {"status": "failed", "command": ["a*"]}, "attachments": "csv"}, True),
        ({"smtp": {"host": "h", "timeout": "5s", "retry_for": 0}, "late_after": "36h"}, True),
        ({"thresholds": {"success_rate": "95%", "metrics": {"rows": {"floor": 1}}}}, True),
        ({"date_from": "2025-01-01", "date_to": "2025-01-02", "channels": "slack-webhook/ops"}, True),
        ({"recipents": []}, False),
        ({"smtp": {"host": "h", "prot": 25}}, False),
        ({"when": "sometimes"}, False),
        ({"thresholds": {"success_rate": 95}}, False),
        ({"recipients": [17]}, False),
        ({"smtp": {"host": "h", "timeout": "soon"}}, False),
        ({"attachments": ["pdf"]}, False),
    ],
)
def test_schema_and_loader_agree(data: dict[str, Any], right: bool) -> None:
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(data) is right
    if right:
        data = {**data, "sender": "a@b.c"}
        assert parse_config(data)
    else:
        with pytest.raises(ValueError, match="configuration"):
            parse_config(data)
