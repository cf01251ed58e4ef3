"""`trackrecord init`: a starter in a project of the user's own; what is there already is left as it is."""

from __future__ import annotations

import ast
import json
import re
from importlib.resources import files
from pathlib import Path

from prefect_trackrecord.cli.output import complain, dump, note, say
from prefect_trackrecord.cli.place import settings_in
from prefect_trackrecord.delivery import ReportConfig, load_config
from prefect_trackrecord.documents.layout import JOURNAL, RUNS
from prefect_trackrecord.errors import ConfigFileError, UsageError
from prefect_trackrecord.journal.plain import mask_text
from prefect_trackrecord.report import zone
from prefect_trackrecord.tracking.storage import BLOCK_PREFIX

EXAMPLE = "flows/word_count.py"
FLOW = "word_count"
"""The example's flow. No user's flow has the name of this: two of one name would share a history."""

REPORT = "delivery_report.yaml"
FILES = {
    "prefect.yaml": "prefect.yaml.txt",
    "prefect.toml": "prefect.toml.txt",
    REPORT: "delivery_report.yaml.txt",
    EXAMPLE: "word_count.py.txt",
    "serve.py": "serve.py.txt",
}
OURS = "# Written by `trackrecord init`"
OTHER = "prefect.trackrecord.yaml"
"""Where the deployments go in a project that has a `prefect.yaml`."""

USERS_REPORT = "report.yaml"
"""What the README and the tutorial call the configuration that they have the reader write."""


def init(folder: Path, timezone: str, history: str | None, as_json: bool = False) -> int:
    """Write the starter's files that are not there, and say what to type next.

    Raises:
        UsageError: the folder, or a file in it, can't be written, or the history's URL holds a secret.
    """
    place = folder.expanduser().absolute()
    where = history or _history_so_far(place)
    _refuse_secret(where)
    words = {
        "TIME_ZONE": zone(timezone).key,
        "PROJECT_NAME": re.sub(r"[^A-Za-z0-9._-]+", "-", place.name).strip("-.") or "project",
        "DIRECTORY": json.dumps(str(place)),
        "HISTORY": json.dumps(where),
        "CONFIG": _config_of(place),
    }
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{place} can't be made: {exc.strerror}") from None
    with_example = not (place / EXAMPLE).exists() or _has_flow(place / EXAMPLE)
    if not with_example:
        note(f"{EXAMPLE} is there already and has no flow {FLOW}: the example is left out, of the deployments, too")
    deployments = "prefect.yaml"
    for name, source in FILES.items():
        if name == REPORT != words["CONFIG"]:
            continue
        target = place / name
        if name == "prefect.yaml" and target.exists() and not _is_ours(target):
            note(f"{name} is there already; the deployments go into {OTHER}")
            deployments, target = OTHER, place / OTHER
        _write(target, _text(source, words, with_example), place)
    if not _says(place / "prefect.toml", "integrations.trackrecord"):
        note(f"prefect.toml says nothing of the history; for commands in this folder: export TRACKING_PATH={where}")
    if not (place / deployments).exists():
        complain(f"{deployments} could not be written")
        return 1
    file = f" --prefect-file {deployments}" if deployments != "prefect.yaml" else ""
    commands = [
        "prefect work-pool create trackrecord --type process",
        f"prefect --no-prompt deploy --all{file}",
        "prefect worker start --pool trackrecord",
    ]
    if as_json:
        dump({"folder": str(place), "deployments": deployments, "next": commands})
        return 0
    note(f"\nNext, in {place}, with a Prefect server (prefect server start) that PREFECT_API_URL names:")
    for command in commands:
        say(command)
    if _says(place / "serve.py", "prefect_trackrecord.flows"):
        note("\nOr, with that server and without a worker: python serve.py")
    return 0


def _refuse_secret(where: str) -> None:
    """The files are for a repository, and Prefect shows deployments in clear.

    Raises:
        UsageError: the URL holds a secret.
    """
    if (shown := mask_text(where)) != where:
        way_out = f"the URL without it, the secret in storage_options), and: --history {BLOCK_PREFIX}NAME"
        raise UsageError(
            f"the history's URL holds a secret, which would be written in clear: {shown}. Save it in a block of type "
            f"trackrecord-storage ({way_out}"
        )


def _history_so_far(place: Path) -> str:
    """Where what was tracked so far is, which must not be lost from sight; the project's own folder for a new one."""
    own, found = place / "history", settings_in(place)
    named = found.tracking_path or found.prefect_storage
    if named is not None and "://" not in named and not named.startswith(BLOCK_PREFIX):
        base = Path() if found.tracking_path else place  # where a relative path was meant
        named = str((base / Path(named).expanduser()).absolute())
    elif named is None and not own.exists() and _has_runs(found.default_path):
        named = str(found.default_path)
    if named is None or named == str(own):
        return str(own)
    note(f"the history stays where it is: {mask_text(named)} (--history names another place)")
    return named


def _has_runs(folder: Path) -> bool:
    return any((folder / part).is_dir() for part in (RUNS, JOURNAL))


def _config_of(place: Path) -> str:
    """The file that says what the report is: one that the user has, else ours."""
    report = None if (place / REPORT).exists() else _report_of(place / USERS_REPORT)
    if report is None:
        return REPORT
    note(f"the report's deployment uses your {USERS_REPORT}")
    if report.window == "today":
        note("  its window is today, at seven in the morning that is the night; `window: yesterday` is a whole day")
    return USERS_REPORT


def _report_of(path: Path) -> ReportConfig | None:
    """The configuration of a delivery report; None for what is none: another tool may use the name."""
    if not path.is_file():
        return None
    try:
        return load_config(path)
    except ConfigFileError as exc:
        note(f"{path.name} is left aside, it makes no report: {exc}")
        return None


def _has_flow(path: Path) -> bool:
    """Whether a file of the user's, such as the example with changes, has the flow that the deployment names."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return False
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == FLOW
        and any("flow" in ast.unparse(decorator) for decorator in node.decorator_list)
        for node in tree.body
    )


def _is_ours(path: Path) -> bool:
    """Whether an earlier `init` wrote it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").startswith(OURS)
    except OSError:
        return False


def _says(path: Path, words: str) -> bool:
    """Whether a file has these words; the user's own of the same name has not."""
    try:
        return words in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _text(source: str, words: dict[str, str], with_example: bool) -> str:
    """A file of the starter with the words of this project, and with the example's part or without."""
    text = files("prefect_trackrecord.cli").joinpath("starter").joinpath(source).read_text(encoding="utf-8")
    part = r"\1" if with_example else ""
    text = re.sub(r"#<example>\n(.*?)#</example>\n", part, text, flags=re.DOTALL)
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _write(target: Path, text: str, place: Path) -> None:
    shown = target.relative_to(place)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        note(f"left as it is: {shown}")
    except OSError as exc:
        raise UsageError(f"{target} can't be written: {exc.strerror}") from None
    else:
        note(f"wrote {shown}")
