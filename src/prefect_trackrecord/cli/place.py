"""Which history a command means: resolved as where flows are tracked, and Prefect imported only where it must be."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_trackrecord import settings
from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.tracking import TrackingStorage, resolve_storage

if TYPE_CHECKING:
    from prefect_trackrecord.callbacks import CommandRun


def storage_of(given: str | None) -> TrackingStorage:
    """The storage that `--storage`, the environment, or Prefect's settings name.

    Raises:
        ConfigurationError: what is named can't be used.
    """
    return resolve_storage(given, _settings(given))


def must_be_there(place: TrackingStorage) -> None:
    """Where nothing was found: is there a history at all? A folder that is misspelt would pass for an empty one.

    Raises:
        StoreUnavailableError: there is no such folder, and it is not the one that is made by itself.
    """
    root = place.archive.store.local_root
    if root is not None and root != place.archive.settings.default_path.absolute() and not _is_folder(root):
        raise StoreUnavailableError(f"there is no folder {root}; is it spelled right? (The first tracked run makes it)")


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except PermissionError:
        return True  # or who knows; the store says it better
    except OSError:
        return False


def tracked(command: str, storage: TrackingStorage, **more: str | None) -> CommandRun:
    """A run of one of our own commands, tracked where `TRACKING_PATH` is set.

    Args:
        command: its name.
        storage: the history it works on, where its own run belongs too.
        more: `config_path`, `target_date` and `role` of the run.
    """
    from prefect_trackrecord.callbacks import CommandRun

    track = settings.current().tracking_path is not None
    return CommandRun(command, storage=storage if track else None, **more)  # type: ignore[arg-type]


def _settings(given: str | None) -> Settings:
    found = settings.current()
    if given or found.tracking_path or found.prefect_storage or not _prefect_may_know(found):
        return found
    from prefect_trackrecord._prefect.settings import current

    return current()


def _prefect_may_know(found: Settings) -> bool:
    """Whether a file from which Prefect takes settings names ours; reading them is Prefect's job, and takes seconds."""
    for path, text in _prefect_files(found):
        moves_home = path.name == "profiles.toml" and "prefect_home" in text
        if moves_home or ("integrations" in text and "trackrecord" in text):
            return True
    return False


def may_have_api() -> bool:
    """Whether the environment, or a file from which Prefect takes settings, names an API."""
    if settings.variable("PREFECT_API_URL"):
        return True
    return any("api" in text and "url" in text for _, text in _prefect_files(settings.current()))


def _prefect_files(found: Settings) -> Iterator[tuple[Path, str]]:
    profiles = settings.variable("PREFECT_PROFILES_PATH") or found.prefect_home / "profiles.toml"
    for path in (Path(profiles), Path("prefect.toml"), Path("pyproject.toml"), Path(".env")):
        with contextlib.suppress(OSError):
            yield path, path.read_text(encoding="utf-8", errors="replace").lower()
