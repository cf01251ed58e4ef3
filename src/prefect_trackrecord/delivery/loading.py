"""Reads a report's configuration from YAML or data; its errors name file, key and what to type instead."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.alert_rules import AlertRules
from prefect_trackrecord.delivery.config import Recipient, ReportConfig
from prefect_trackrecord.delivery.sections import FlowInfo, MetricRule, SmtpConfig, Templates, Thresholds
from prefect_trackrecord.errors import ConfigFileError, DateRangeError
from prefect_trackrecord.report import Filters


class _Loader(yaml.SafeLoader):
    """As `yaml.safe_load`, which takes the last of two values of a key and says nothing."""

    def compose_mapping_node(self, anchor: dict[Any, Any]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise _TwiceError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
                seen.add((key.tag, key.value))
        return node


class _TwiceError(yaml.MarkedYAMLError):
    """A key is given twice."""


def load_config(path: str | os.PathLike[str]) -> ReportConfig:
    """Read a configuration file.

    Raises:
        ConfigFileError: it can't be read, or something in it is wrong; names file, key and what to type
            instead.
    """
    name = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        data = yaml.load(text, _Loader)  # noqa: S506 - a safe one
    except OSError as exc:
        raise ConfigFileError(f"{name} can't be read: {exc.strerror or exc}") from None
    except UnicodeDecodeError:
        raise ConfigFileError(f"{name} is no text in UTF-8") from None
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(exc, "problem", None) or "it can't be parsed"
        why = problem if isinstance(exc, _TwiceError) else f"this is no YAML: {problem}"
        raise ConfigFileError(f"{name}{place}: {why}") from None
    except (ValueError, RecursionError) as exc:  # a date such as 2025-02-30
        raise ConfigFileError(f"{name}: {exc}") from None
    return parse_config(_beside(data, Path(path).parent) if data is not None else {}, name)


def _beside(data: Any, folder: Path) -> Any:
    """Own templates lie beside the configuration, wherever it is read from."""
    templates = data.get("templates") if isinstance(data, dict) else None
    if not isinstance(templates, dict):
        return data
    placed = {k: str(folder / v) if isinstance(v, str) else v for k, v in templates.items()}
    return {**data, "templates": placed}


def parse_config(data: Any, source: str = "the configuration") -> ReportConfig:
    """Check a configuration that is data already; `source` names it in errors.

    Raises:
        ConfigFileError: something in it is wrong.
    """
    if not isinstance(data, Mapping):
        raise ConfigFileError(f"{source}: keys and values are expected, not {type(data).__name__}")
    try:
        return ReportConfig.model_validate(dict(data))
    except ValidationError as exc:
        raise ConfigFileError(_explain(exc, source)) from None
    except DateRangeError as exc:
        raise ConfigFileError(f"{source}: {exc}") from None


_SECTIONS: dict[str, type[BaseModel]] = {
    "smtp": SmtpConfig,
    "alerts": AlertRules,
    "filters": Filters,
    "thresholds": Thresholds,
    "templates": Templates,
    "recipients": Recipient,
    "cc": Person,
    "sender": Person,
    "reply_to": Person,
}
# Sections whose own keys are names that people choose.
_NAMED: dict[str, type[BaseModel]] = {"flows": FlowInfo, "metrics": MetricRule}


def _explain(exc: ValidationError, source: str) -> str:
    """All that is wrong, a line each, without the values that pydantic would show."""
    lines = []
    for error in exc.errors(include_url=False, include_input=False, include_context=False):
        place = [str(part) for part in error["loc"]]
        if error["type"] == "extra_forbidden":
            lines.append(_unknown(place))
            continue
        message = error["msg"].removeprefix("Value error, ")
        lines.append(f"{_dotted(place)}: {message}" if place else message)
    if len(lines) == 1:
        return f"{source}: {lines[0]}"
    return "\n".join([f"{source}: {len(lines)} errors", *(f"  {line}" for line in lines)])


def _unknown(place: list[str]) -> str:
    *section, key = place
    known = list(_model_of(section).model_fields)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    where = f" in {_dotted(section)}" if section else ""
    return f"unknown key {key!r}{where}; {hint}"


def _model_of(section: list[str]) -> type[BaseModel]:
    """The model that a key stands in: by the innermost section that is no number and no name of somebody's."""
    words = [part for part in section if not part.isdigit()]
    if len(words) > 1 and words[-2] in _NAMED:
        return _NAMED[words[-2]]
    return _SECTIONS.get(words[-1], ReportConfig) if words else ReportConfig


def _dotted(place: list[str]) -> str:
    """`recipients[2].email`, counted from 1 as people do: `entry 3 of recipients`."""
    text = ""
    for part in place:
        text = f"entry {int(part) + 1} of {text}" if part.isdigit() else f"{text}.{part}" if text else part
    return text
