"""The package's settings where Prefect runs: the environment's, and what Prefect's profiles and TOML files add."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from prefect.settings import get_current_settings
from prefect.settings.base import PrefectBaseSettings, build_settings_config
from pydantic import Field
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


def current() -> core.Settings:
    """The settings of this process as Prefect sees them at this moment: a flow's script may set them before it runs."""
    base = core.read()
    prefect = get_current_settings()
    home = Path(prefect.home)
    found = dataclasses.replace(
        base,
        prefect_storage=base.prefect_storage or TrackRecordSettings().storage or None,
        ui_url=base.ui_url or prefect.ui_url,
    )
    if home != base.prefect_home:  # set by a profile: the environment does not say it
        spool_is_default = base.spool == base.prefect_home / "trackrecord" / "spool"
        spool = home / "trackrecord" / "spool" if spool_is_default else base.spool
        found = dataclasses.replace(found, prefect_home=home, spool=spool)
    return found


def has_api() -> bool:
    """Whether an API is configured. The embedded one is none: only the flow's own process ever told it anything."""
    return bool(get_current_settings().api.url)
