"""Writes the pages of the reference that are made of the code: `make reference`. Tests ask that they are current."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import io
import json
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, RootModel, TypeAdapter
from rich.console import Console

REFERENCE = Path(__file__).parents[1] / "reference"
API = {
    "track": ("Tracking flows and tasks", "What stands above flows and tasks, and what is asked inside them."),
    "tracking": ("Runs and their storage", "Runs without Prefect, or beside it, and the documents of a history."),
    "callbacks": ("Callbacks", "Batches of files: who processes them tells handlers; commands that track themselves."),
    "record": ("Records", "Business records that keep their own story."),
    "delivery": ("Delivery", "Reports and mails, from a configuration to what became of each mail."),
    "flows": ("Flows", "The delivery report, recovery and alerts, to be deployed."),
    "store": ("Stores", "What a history is kept in, for those who write a store of their own."),
    "testing": ("Testing", "For your own tests, and for stores of your own."),
}
ROOT_NAMES = ("track", "hooks", "param", "current_tracker", "TrackRecordStorage")
IN_PARTS = ("RunTracker",)
"""Classes whose methods stand in a base of their own that is no public name."""
ALSO = {"TrackRecordError": "the page of [error codes](../errors.md)"}
EXIT_CODES = """\
| code | what it means |
|---|---|
| 0 | done; nothing failed |
| 1 | something failed, was not found, or could not be read; standard error says what |
| 2 | called wrongly: an unknown command or option, a value or configuration that can't work; nothing was done |
| 141 | whoever read the output went away (`head`), as of any program; what was still to be done is not done |
| 130 | stopped by Ctrl+C; the same command may be called again, and goes on with what is left |

What 1 also means, beside an error that standard error tells, and what a command has done that Ctrl+C stopped:

| command | 1 where | stopped by Ctrl+C |
|---|---|---|
| `delivery-report` | the report could not be stored, a mail or message was not sent; with `--preview`, a template \
can't be used | what was stored and sent stands; called again, it sends to the others. A mail whose data was on its \
way is [unknown](delivery-report.md#what-became-of-each-mail), and not sent again by itself |
| `demo` | | its folder is half full; called again, it is made anew |
| `doctor` | something does not work | what it tried the storage with is removed again |
| `export` | a document could not be read; the rest is written | each day is whole, the old one or the new one |
| `files failed` | a document could not be read, or a path is masked; the rest is listed | it only reads |
| `import-runs` | | each run is imported as a whole, or not yet |
| `init` | the deployments could not be written | the files that were written stay; the others come the next time |
| `prune` | documents that can't be trusted were left | each run is gone as a whole, or is there: the run at hand is \
brought to its end first; a second Ctrl+C stops at once, and what it leaves goes the next time |
| `records pack` | | the file is the old one, or not there |
| `records report` | | the file is the old one, or not there |
| `records show` | no run knows the record | it only reads |
| `recover` | a run could not be closed; the others are | each run is closed, or as it was |
| `retry` | | nothing was started; or the flow run was, and a second call is refused until that has ended |
| `runs list` | a document could not be read; the rest is listed | it only reads |
| `runs open` | there is no browser | it only reads, and may keep a copy of the page under the Prefect home |
| `runs show` | the run's files or emails could not be read; the rest is shown | it only reads |
| `silence` | | it is as before, or as typed |
| `sql` | a document could not be read; the rest is asked | it only reads |
"""
JSON = """\
With `--json` standard output holds one JSON document with every field, and nothing else. It is strict JSON: a number
that is none (NaN, infinite) is `null`.

An error leaves standard output empty. It is told on standard error as without `--json`, in words and with its
[code](errors.md) (`error TR301: ...`), and the exit code says that there was one. Where only a part failed (see below)
the exit code is 1 and the document is there, with what could be done; standard error names the rest, and so does the
document where it has a field for that.
"""


def pages() -> dict[Path, str]:
    """Every made page by its path."""
    found = {REFERENCE / "api" / f"{name}.md": _api(name) for name in API}
    found[REFERENCE / "command-line.md"] = _command_line()
    found[REFERENCE / "errors.md"] = _errors()
    for name, schema in _schemas().items():
        text = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        found[REFERENCE / "schemas" / f"{name}.schema.json"] = text
    return found


# --- the Python API -------------------------------------------------------------------------------------------


def public_names() -> dict[str, list[str]]:
    """The names that users may import, by module."""
    modules = ["prefect_trackrecord", *(f"prefect_trackrecord.{name}" for name in API if name != "track")]
    return {name: sorted(n for n in importlib.import_module(name).__all__ if n[0] != "_") for name in modules}


def _api(page: str) -> str:
    title, what = API[page]
    module = "prefect_trackrecord" if page == "track" else f"prefect_trackrecord.{page}"
    names = ROOT_NAMES if page == "track" else public_names()[module]
    also = set(public_names()["prefect_trackrecord"]) & set(names) if page != "track" else set()
    lines = [f"# {title}", "", what, ""]
    lines += [f"Import from `{module}`" + (f"; {_listed(sorted(also))} also from the package itself." if also else ".")]
    for name in names:
        value = getattr(importlib.import_module(module), name)
        if _is_alias(value):
            shown = str(value).replace("typing.", "").replace("prefect_trackrecord.", "")
            lines += ["", f"## {name}", "", f"`{name} = {shown}`"]
        else:
            lines += ["", f"::: {module}.{name}"]
            if name in IN_PARTS:
                lines += ["    options: {inherited_members: true}"]
    return "\n".join(lines) + "\n"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _is_alias(value: Any) -> bool:
    return typing.get_origin(value) is not None or isinstance(value, types.UnionType)


# --- the command line -----------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by what is typed, groups before what is in them."""
    app = importlib.import_module("prefect_trackrecord.cli.root").app
    app.resolved_commands()

    def below(names: tuple[str, ...], group: Any) -> Iterator[tuple[str, Any]]:
        for name in sorted(n for n in group if not n.startswith("-")):
            yield " ".join((*names, name)), group[name]
            yield from below((*names, name), group[name])

    yield "trackrecord", app
    yield from below(("trackrecord",), app)


def help_of(command: str) -> str:
    """A command's help as it stands on a terminal of 100 columns without colours."""
    app = importlib.import_module("prefect_trackrecord.cli.root").app
    out = io.StringIO()
    app.help_print(command.split()[1:], console=Console(file=out, width=100, no_color=True, force_terminal=False))
    return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").splitlines())


def _command_line() -> str:
    parts = [
        "# The command line",
        "",
        "`trackrecord` reads and keeps a history. Tables on a terminal, tab-separated rows elsewhere, colours on a",
        "terminal only; `--json` prints every field. Complaints go to standard error.",
        "",
        "`trackrecord --install-completion` teaches your shell (bash, zsh, fish) to complete commands and options;",
        "`--shell` names another one than that in use. Where SHELL names one that is not known, nothing is written.",
        "",
        "## JSON",
        "",
        JSON,
        "## Exit codes",
        "",
        EXIT_CODES,
    ]
    for name, _ in commands():
        parts += [f"## {name}", "", "```text", help_of(name), "```", ""]
    return "\n".join(parts)


# --- error codes ----------------------------------------------------------------------------------------------


def error_classes() -> list[type[Exception]]:
    """The package's own errors, by code."""
    errors = importlib.import_module("prefect_trackrecord.errors")
    found = [v for v in vars(errors).values() if inspect.isclass(v) and issubclass(v, errors.TrackRecordError)]
    return sorted(found, key=lambda c: c.code)


def told(error: type[Exception]) -> tuple[str, str]:
    """An error's cause, and the way out of it, as its docstring says them."""
    parts = (inspect.getdoc(error) or "").split("\n\n")
    way = next((p.partition("Way out:")[2] for p in parts if p.startswith("Way out:")), "")
    return " ".join(parts[0].split()), " ".join(way.split())


def _errors() -> str:
    lines = [
        "# Error codes",
        "",
        "Every error of this package is a `TrackRecordError` with a stable `code`, which the command line prints",
        "(`error TR101: ...`). Inside a flow none of them is raised by tracking: there they are counted in the run's",
        "`tracking_errors` and logged once.",
        "",
        "| code | class | what happened | way out |",
        "|---|---|---|---|",
    ]
    for error in error_classes():
        cause, way = told(error)
        lines.append(f"| {error.code} | `{error.__name__}` | {cause} | {way or '(the base of all)'} |")  # type: ignore[attr-defined]
    return "\n".join(lines) + "\n"


# --- schemas --------------------------------------------------------------------------------------------------


def _schemas() -> dict[str, dict[str, Any]]:
    from prefect_trackrecord import events
    from prefect_trackrecord.delivery import ledger_entry
    from prefect_trackrecord.delivery.incident_log import FlowState
    from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, RunMetadata
    from prefect_trackrecord.documents.seal import SealRecord
    from prefect_trackrecord.record import RecordEntry
    from prefect_trackrecord.report import Report

    class RecordsLog(BaseModel):
        """The records of one run: `records_logs.json`."""

        data: dict[str, RecordEntry]
        format: int = 1
        journal: dict[str, int] = {}

    return {
        "run_metadata": _model(RunMetadata, "The document of a run"),
        "file_logs": _model(RootModel[list[FileProcessingLog]], "The files of a run"),
        "email_logs": _model(RootModel[list[EmailResult]], "The emails of a run"),
        "records_logs": _model(RecordsLog, "The records of a run"),
        "delivery": _model(ledger_entry.Entry, "What became of one recipient's mail"),
        "incidents": _model(FlowState, "A flow's incidents, and who was told"),
        "report": _model(Report, "The delivery report as JSON"),
        "seal": _dataclass(SealRecord, "Which events a generation of documents is made of"),
        "event": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "One line of a journal segment",
            "oneOf": [_event(kind) for kind in typing.get_args(events.Event)],
        },
    }


def _model(model: Any, title: str) -> dict[str, Any]:
    schema = model.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _dataclass(kind: Any, title: str) -> dict[str, Any]:
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _event(kind: Any) -> dict[str, Any]:
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    schema["properties"] = {"kind": {"const": kind.kind}, **schema["properties"]}
    required = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
    return {**schema, "description": textwrap.dedent(inspect.getdoc(kind) or ""), "required": ["kind", *required]}


def main() -> int:
    """Write what is not current; with `--check` only say it, and return 1."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        sys.stdout.write(f"{path.relative_to(REFERENCE.parents[1])}\n")
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path], encoding="utf-8")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
