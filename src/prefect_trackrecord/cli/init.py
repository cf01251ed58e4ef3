"""`trackrecord init`: a starter in a project of the user's own; what is there already is left as it is."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from prefect_trackrecord.cli.output import complain, dump, note, say
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.report import zone

FILES = {
    "prefect.yaml": "prefect.yaml.txt",
    "prefect.toml": "prefect.toml.txt",
    "delivery_report.yaml": "delivery_report.yaml.txt",
    "flows/nightly.py": "nightly.py.txt",
    "flows/upkeep.py": "upkeep.py.txt",
    "serve.py": "serve.py.txt",
}
OURS = "# Written by `trackrecord init`"
OTHER = "prefect.trackrecord.yaml"
"""Where the deployments go in a project that has a `prefect.yaml`."""


def init(folder: Path, timezone: str, history: str | None, as_json: bool = False) -> int:
    """Write the starter's files that are not there, and say what to type next.

    Raises:
        UsageError: the folder, or a file in it, can't be written.
    """
    place = folder.expanduser().absolute()
    where = history or str(place / "history")
    words = {
        "TIME_ZONE": zone(timezone).key,
        "PROJECT_NAME": re.sub(r"[^A-Za-z0-9._-]+", "-", place.name).strip("-.") or "project",
        "DIRECTORY": json.dumps(str(place)),
        "HISTORY": json.dumps(where),
    }
    try:
        place.mkdir(exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{place} can't be made: {exc.strerror}") from None
    deployments = "prefect.yaml"
    for name, source in FILES.items():
        target = place / name
        if name == "prefect.yaml" and target.exists() and not _is_ours(target):
            note(f"{name} is there already; the deployments go into {OTHER}")
            deployments, target = OTHER, place / OTHER
        _write(target, source, words, place)
    if not _names_history(place / "prefect.toml"):
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
    note(f"\nNext, in {place}, with a Prefect server running (prefect server start):")
    for command in commands:
        say(command)
    note("\nOr, with nothing but this process: python serve.py")
    return 0


def _is_ours(path: Path) -> bool:
    """Whether an earlier `init` wrote it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").startswith(OURS)
    except OSError:
        return False


def _names_history(path: Path) -> bool:
    """Whether a file of Prefect's settings says where the history is."""
    try:
        return "integrations.trackrecord" in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _write(target: Path, source: str, words: dict[str, str], place: Path) -> None:
    shown = target.relative_to(place)
    text = files("prefect_trackrecord.cli").joinpath("starter").joinpath(source).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(word, value)
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
