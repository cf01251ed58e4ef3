"""The package's settings where Prefect runs: the environment's, and what Prefect's profiles and TOML files add."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.settings import get_current_settings
from prefect.settings.base import PrefectBaseSettings, build_settings_config
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from prefect_trackrecord import settings as core


class TrackRecordSettings(PrefectBaseSettings):
    """Read from `PREFECT_INTEGRATIONS_TRACKRECORD_*`, a Prefect profile, `prefect.toml` or `pyproject.toml`.

    In `pyproject.toml` the table is `[tool.prefect.integrations.trackrecord]`.
    """

    model_config: SettingsConfigDict = build_settings_config(("integrations", "trackrecord"))  # type: ignore[misc]

    storage: str | None = Field(
        default=None,
        description="Where the history is kept: a folder, an fsspec URL, or trackrecord-storage/<block name>.",
    )
    events: bool = Field(
        default=True,
        description="Whether Prefect is told events (trackrecord.run.partial...), for automations to act on.",
    )
    live_seconds: float = Field(
        default=10.0,
        ge=0,
        allow_inf_nan=False,
        description="How often a run that is going on shows in an artifact how far it is; 0 for never.",
    )
    base_url: str | None = Field(
        default=None,
        description="Where a browser can read the store's files; artifacts then link to pages and pictures there.",
    )


def _told(base: core.Settings, tell: Callable[[str], None] = core.warn_once) -> TrackRecordSettings:
    """What Prefect's sources say; a value that is none of its kind must not stop a flow, nor take others with it."""
    try:
        return TrackRecordSettings()
    except ValidationError as exc:
        wrong = {str(e["loc"][0]): e["msg"] for e in exc.errors(include_url=False, include_input=False) if e["loc"]}
    known: dict[str, Any] = {
        "storage": base.prefect_storage,
        "events": base.events,
        "live_seconds": base.live_seconds,
        "base_url": base.base_url,
    }
    for name, why in wrong.items():
        if core.variable(f"{core.INTEGRATION}{name.upper()}"):
            continue  # what the environment says was told of as it was read
        used = "none" if known.get(name) is None else str(known[name]).lower()
        tell(f"{name} in Prefect's settings (integrations.trackrecord) is left out, {used} is used: {why}")
    try:
        return TrackRecordSettings(**{name: known[name] for name in wrong})
    except (ValidationError, KeyError):  # something else than one value is wrong
        return TrackRecordSettings.model_construct(**known)


def wrong() -> list[str]:
    """What is wrong with the settings, those of the environment included, one line for each."""
    base, found = core.checked()
    _told(base, found.append)
    return found


def current() -> core.Settings:
    """The settings of this process as Prefect sees them at this moment: a flow's script may set them before it runs."""
    base = core.read()
    prefect = get_current_settings()
    told = _told(base)
    found = dataclasses.replace(
        base,
        prefect_storage=base.prefect_storage or told.storage or None,
        events=told.events,
        live_seconds=told.live_seconds,
        base_url=base.base_url or told.base_url,
        ui_url=base.ui_url or prefect.ui_url,
    )
    return found.at_home(Path(prefect.home))  # a profile may set it: the environment does not say so


def has_api() -> bool:
    """Whether an API is configured. The embedded one is none: only the flow's own process ever told it anything."""
    return bool(get_current_settings().api.url)
