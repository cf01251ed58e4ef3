"""The configuration's JSON Schema, for editors; `python -m prefect_trackrecord.delivery.schema` writes it anew."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.alert_rules import AlertRules
from prefect_trackrecord.delivery.config import Recipient, ReportConfig
from prefect_trackrecord.delivery.sections import FlowInfo, MetricRule, SmtpConfig, Templates, Thresholds
from prefect_trackrecord.report import Filters

PATH = Path(__file__).with_name("report.schema.json")
"""Where the shipped schema is."""

MODELS: tuple[type[BaseModel], ...] = (
    *(ReportConfig, Recipient, Person, SmtpConfig, Thresholds, MetricRule, FlowInfo, Templates, Filters, AlertRules),
)
_KEYS = re.compile(r"^(\w+(?:, \w+)*): (.*)$")


def schema() -> dict[str, Any]:
    """The schema as the models say it, with the shorthands that a person may write."""
    found = ReportConfig.model_json_schema()
    for model in MODELS:
        part = found if model is ReportConfig else found["$defs"][model.__name__]
        told = descriptions(model)
        part["description"] = _first_line(model)
        for name, field in part["properties"].items():
            part["properties"][name] = _shorthand({k: v for k, v in field.items() if k not in {"title", "default"}})
            if name == "agent_id":
                part["properties"][name]["anyOf"].append({"type": "integer"})
            if name in told:
                part["properties"][name]["description"] = told[name]
    found["title"] = "Delivery report of prefect-trackrecord"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """What the model's docstring says about each field."""
    text = textwrap.dedent("    " + (model.__doc__ or "")).partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in textwrap.dedent(text).splitlines():
        match = _KEYS.match(line)
        if match:
            names = match[1].split(", ")
            found.update(dict.fromkeys(names, match[2]))
        elif line.strip():
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return found


def _shorthand(field: dict[str, Any]) -> dict[str, Any]:
    """A list of one may be written without its brackets, a person as an address, and any key left empty."""
    kinds = field.pop("anyOf", [field])
    wider: list[dict[str, Any]] = []
    for kind in kinds:
        item = kind.get("items")
        if kind.get("type") == "array" and isinstance(item, dict):
            wide = _people(item)
            wider += [{**kind, "items": {"anyOf": wide} if len(wide) > 1 else item}, *wide]
        else:
            wider += _people(kind)
    if not field or len(wider) > 1 or kinds is not field:
        return {"anyOf": wider} if len(wider) > 1 else wider[0]
    return field


def _people(kind: dict[str, Any]) -> list[dict[str, Any]]:
    is_person = str(kind.get("$ref", "")).rsplit("/", 1)[-1] in {"Person", "Recipient"}
    return [{"type": "string"}, kind] if is_person else [kind]


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def text() -> str:
    """The schema as the shipped file has it."""
    return json.dumps(schema(), indent=2, sort_keys=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
