"""Which history a command means: resolved as where flows are tracked, and Prefect imported only where it must be."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_trackrecord import settings
from prefect_trackrecord.cli import prefect_files
from prefect_trackrecord.cli.output import note
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
    return resolve_storage(given, settings.current() if given else settings_in(Path()))


def must_be_there(place: TrackingStorage, given: str | None) -> None:
    """Where nothing was found: is there a history at all? A folder that is misspelt would pass for an empty one.

    Args:
        place: the history.
        given: what `--storage` says. Without it the settings name the place, where nothing may have been tracked yet.

    Raises:
        StoreUnavailableError: there is no such folder.
    """
    root = place.archive.store.local_root
    if root is None or _is_folder(root):
        return
    if given:
        raise StoreUnavailableError(f"there is no folder {root}; is it spelled right? (The first tracked run makes it)")
    note("nothing has been tracked yet; the first tracked run makes the history")


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


def settings_in(folder: Path) -> Settings:
    """The settings of flows and commands that are started in a folder.

    Where only Prefect can tell it is asked, of the folder that this process is in.
    """
    found = settings.current()
    if found.tracking_path or found.prefect_storage:
        return found
    try:
        told = prefect_files.told(found, folder)
    except prefect_files.OddError:
        from prefect_trackrecord._prefect.settings import current

        return current()
    found = found if told.home is None else found.at_home(told.home)
    return replace(found, prefect_storage=told.storage)


def may_have_api() -> bool:
    """Whether the environment, or a file from which Prefect takes settings, names an API."""
    return bool(settings.variable("PREFECT_API_URL")) or prefect_files.names_api(settings.current())
