"""What `track` was told, checked at the definition and kept as plain data that is pickled with flow and task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from prefect_trackrecord import settings
from prefect_trackrecord._prefect.following import checked_statuses
from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.store import check_url
from prefect_trackrecord.store.base import StoreConfig
from prefect_trackrecord.tracking.storage import BLOCK_PREFIX, TrackingStorage
from prefect_trackrecord.tracking.values import Call, parameter_name, source

Partial = Literal["completed", "failed"]
Storage = TrackingStorage | StoreConfig | str | None
RETURN = "return"


@dataclass(frozen=True)
class FlowOptions:
    """The options of a tracked flow. Values are constants, `Param`s or `Call`s (see `values`).

    Attributes:
        storage: where its history is kept, perhaps by its arguments; None leaves it to the settings.
        command: None for the flow's name.
        subcommand, config_path, target_date: more of the run's metadata.
        partial: the state of a run of which some files failed; None leaves it alone.
        fail_over: the share of failed files above which the flow fails; None: no share does.
        items: the parameter that takes the flow's files, for `trackrecord retry`.
        role: `report` for a run that only reports on others.
    """

    storage: Storage | Call = None
    command: Any = None
    subcommand: Any = None
    config_path: Any = None
    target_date: Any = None
    partial: Partial | None = None
    fail_over: float | None = None
    role: str | None = None
    items: str | None = None


@dataclass(frozen=True)
class TaskOptions:
    """The options of a tracked task. Values are constants, `Param`s or `Call`s (see `values`).

    Attributes:
        storage: where the file goes when the task runs in a flow that is not tracked.
        file: the file's path; None for the task run's name.
        file_type, agent_id: more of the file's row.
        output: what was made of it; `RETURN` for what the task returns.
        record: the record that it works on, or a list of them; they follow the task's states.
        record_statuses: statuses by state, where they are to be others than `record.following.STATES`.
    """

    storage: Storage = None
    file: Any = None
    file_type: Any = None
    agent_id: Any = None
    output: Any = None
    record: Any = None
    record_statuses: Mapping[str, Any] | None = None


def flow_options(fn: Callable[..., Any] | None, given: Mapping[str, Any]) -> FlowOptions:
    """Check a flow's options at its definition.

    Args:
        fn: the flow's function; None where it is not known yet (`hooks`).
        given: the options by name.

    Raises:
        ConfigurationError: one of them can't work.
    """
    options = dict(given)
    given_storage = options.get("storage")
    if callable(given_storage):
        options["storage"] = source(given_storage, fn, "storage", text_is_parameter=False)
    else:
        options["storage"] = checked_storage(given_storage)
    for name in ("command", "subcommand", "config_path", "target_date"):
        value = options.get(name)
        if value is not None:
            options[name] = source(value, fn, name, text_is_parameter=False)
    if (items := options.get("items")) is not None:
        options["items"] = parameter_name(items, fn, "items")
    if options.get("partial") not in (None, "completed", "failed"):
        raise ConfigurationError(
            f"track(partial={options['partial']!r}): it is 'completed' or 'failed', or left out to leave the flow's "
            "state alone"
        )
    share = options.get("fail_over")
    if share is not None and not (isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1):
        raise ConfigurationError(
            f"track(fail_over={share!r}): it is a share of the files from 0 to 1, such as 0.05 for 5 percent"
        )
    return FlowOptions(**options)


def task_options(fn: Callable[..., Any], given: Mapping[str, Any]) -> TaskOptions:
    """Check a task's options at its definition.

    A string given to `file` or `record` names a parameter; one given to the others is a parameter where it names one,
    else a constant.

    Raises:
        ParameterNameError: a name is no parameter of `fn`.
        ConfigurationError: another option can't work.
    """
    options = dict(given)
    options["storage"] = checked_storage(options.get("storage"))
    for name in ("file", "file_type", "agent_id", "output", "record"):
        value = options.get(name)
        if value is None or (name == "output" and value == RETURN):
            continue
        options[name] = source(value, fn, name, text_is_parameter=True if name in ("file", "record") else None)
    options["record_statuses"] = checked_statuses(options.get("record_statuses"))
    return TaskOptions(**options)


def checked_storage(given: Any) -> Storage:
    """A storage as plain data, checked without connecting anywhere.

    Raises:
        StorageUrlError: it can't be parsed.
        MissingDriverError: its driver is not installed.
        ConfigurationError: it is nothing that a history can be kept in.
    """
    if given is None:
        now_set = settings.read()
        if place := now_set.tracking_path or now_set.prefect_storage:
            _check(place)
        return None
    if isinstance(given, TrackingStorage):
        return given
    as_config = getattr(given, "store_config", None)  # a TrackRecordStorage block
    if callable(as_config):
        given = as_config()
    if isinstance(given, StoreConfig):
        _check(given.url)
        return given
    if isinstance(given, str | Path):
        return _check(str(given))
    raise ConfigurationError(
        f"track(storage={type(given).__name__}): give a folder, a URL such as s3://bucket/path, "
        f"'{BLOCK_PREFIX}<block name>' or a TrackingStorage"
    )


def _check(place: str) -> str:
    if place.startswith(BLOCK_PREFIX):
        if not place[len(BLOCK_PREFIX) :].strip("/"):
            raise ConfigurationError(f"{place!r} names no block; write {BLOCK_PREFIX}<block name>")
        return place
    check_url(place)
    return place
