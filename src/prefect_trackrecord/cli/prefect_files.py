"""What the files say from which Prefect takes settings, read as Prefect reads them but without its import (a second).

The order is Prefect's: the environment (which the caller has), `.env`, `prefect.toml`, `[tool.prefect]` in
`pyproject.toml`, the active profile. What is odd is left to Prefect itself.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_trackrecord import settings
from prefect_trackrecord.settings import INTEGRATION, Settings

STORAGE, HOME = f"{INTEGRATION}STORAGE", "PREFECT_HOME"
_IN_TEST_MODE = ("", "UNIT_", "TESTING_UNIT_", "TESTING_")
"""Where `PREFECT_<this>TEST_MODE` is set Prefect takes nothing from profiles."""


class OddError(Exception):
    """Something that Prefect itself must be asked about."""


@dataclass(frozen=True)
class Told:
    """What the files say: the setting `storage`, and where Prefect's home is. None for what they don't say."""

    storage: str | None = None
    home: Path | None = None


def told(found: Settings, folder: Path) -> Told:
    """What the files of a folder and the active profile add to what the environment says.

    Raises:
        OddError: only Prefect can tell.
    """
    env = _dotenv(folder / ".env")
    own = _toml(folder / "prefect.toml")
    project = _table(_toml(folder / "pyproject.toml"), "tool", "prefect")
    profile = _profile(found, folder, env, own, project)
    # An empty text of a source that comes earlier counts: it says that there is none.
    empty = [""] if settings.is_empty(STORAGE) else []
    storages = [*empty, env.get(STORAGE.lower()), _storage(own), _storage(project), profile.get(STORAGE)]
    homes = [settings.variable(HOME), env.get(HOME.lower()), own.get("home"), project.get("home"), profile.get(HOME)]
    home = _first(homes)
    return Told(_first(storages) or None, Path(home).expanduser() if home else None)


def names_api(found: Settings) -> bool:
    """Whether a file says anything like the address of an API; a guess that spares Prefect's import."""
    profiles = settings.variable("PREFECT_PROFILES_PATH") or found.prefect_home / "profiles.toml"
    paths = (Path(profiles), Path("prefect.toml"), Path("pyproject.toml"), Path(".env"))
    return any("api" in text and "url" in text for text in (_text(path).lower() for path in paths))


def _first(values: list[Any]) -> str | None:
    value = next((one for one in values if one is not None), None)
    if value is not None and not isinstance(value, str):
        raise OddError
    return value


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def _dotenv(path: Path) -> Mapping[str, str | None]:
    if "prefect" not in _text(path).lower():
        return {}
    try:
        from dotenv import dotenv_values
    except ImportError:  # Prefect brings it
        raise OddError from None
    return {name.lower(): value for name, value in dotenv_values(path, encoding="utf-8").items()}


def _toml(path: Path) -> Mapping[str, Any]:
    """A file's tables; none where its text has none of the words that count here."""
    text = _text(path)
    if not any(word in text.lower() for word in ("trackrecord", "home", "profiles_path")):
        return {}
    try:
        found: Mapping[str, Any] = importlib.import_module("tomllib").loads(text)
    except (ImportError, ValueError):  # of Python 3.10, or no TOML
        raise OddError from None
    return found


def _table(found: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        found = found.get(name, {})
        if not isinstance(found, Mapping):
            raise OddError
    return found


def _storage(found: Mapping[str, Any]) -> Any:
    return _table(found, "integrations", "trackrecord").get("storage")


def _profile(
    found: Settings,
    folder: Path,
    env: Mapping[str, str | None],
    own: Mapping[str, Any],
    project: Mapping[str, Any],
) -> Mapping[str, Any]:
    """The active profile."""
    if any(settings.variable(f"PREFECT_{kind}TEST_MODE") for kind in _IN_TEST_MODE):
        return {}
    paths = (env.get("prefect_profiles_path"), own.get("profiles_path"), project.get("profiles_path"))
    named = settings.variable("PREFECT_PROFILES_PATH") or next((path for path in paths if path), None)
    data = _toml(folder / named if named else found.prefect_home / "profiles.toml")
    active = settings.variable("PREFECT_PROFILE") or data.get("active")
    profiles = _table(data, "profiles")
    return _table(profiles, active) if isinstance(active, str) and active in profiles else {}
