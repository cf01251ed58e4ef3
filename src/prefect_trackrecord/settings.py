"""What the environment says, read once into a frozen dataclass; no other module reads `os.environ`."""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from prefect_trackrecord.errors import ConfigurationError

Durability = Literal["spool", "stored"]
_logger = logging.getLogger("prefect_trackrecord")
_told: set[str] = set()
_ON, _OFF = frozenset({"1", "true", "t", "yes", "y", "on"}), frozenset({"0", "false", "f", "no", "n", "off"})
INTEGRATION = "PREFECT_INTEGRATIONS_TRACKRECORD_"


@dataclass(frozen=True)
class Settings:
    """The package's settings.

    Attributes:
        tracking_path: `TRACKING_PATH`, the folder or URL of the store; None where unset.
        prefect_storage: `PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE`, a URL or
            `trackrecord-storage/<block name>`; None where unset. `pyproject.toml` and Prefect
            profiles are read by `_prefect.settings`, which knows how.
        prefect_home: Prefect's own folder, `PREFECT_HOME` or `~/.prefect`.
        spool: where events wait on this host for a store that is a bucket or can't be written;
            `TRACKRECORD_SPOOL`, else `<prefect_home>/trackrecord/spool`. Never the temp folder:
            that one is emptied.
        store_deadline: seconds that the first call to a store may take before it counts as down
            (`TRACKRECORD_STORE_DEADLINE`, 3).
        call_deadline: seconds that any later call to a store may take
            (`TRACKRECORD_CALL_DEADLINE`, 30).
        end_deadline: seconds that a run's end may spend on a store, uploads included; what is not done by then
            stays in the spool (`TRACKRECORD_END_DEADLINE`, 60).
        durability: what an event that was acknowledged has reached, `spool` (this host's disk) or `stored`
            (`TRACKRECORD_DURABILITY`, spool).
        upload_seconds: how long an event may wait on this host before its upload to a bucket begins
            (`TRACKRECORD_UPLOAD_SECONDS`, 1).
        spool_limit: bytes that may wait on this host for one store; what comes beyond that is dropped and counted
            (`TRACKRECORD_SPOOL_LIMIT_MB`, 1024, in MiB).
        ui_url: base of links into the Prefect UI, `PREFECT_UI_URL`; None where unset.
        quiet: `TRACKRECORD_QUIET`, leave out the one log line of each run.
        silence: after how long without an event a run that nobody can tell of counts as dead
            (`TRACKRECORD_SILENCE_HOURS`, 24).
        running_silence: the same for one that Prefect says is running; never less than `silence`
            (`TRACKRECORD_RUNNING_SILENCE_HOURS`, 72).
        events: `PREFECT_INTEGRATIONS_TRACKRECORD_EVENTS`, whether Prefect is told events.
        live_seconds: how often a run that is going on shows in an artifact how far it is; 0 for never
            (`PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS`, 10).
        base_url: `PREFECT_INTEGRATIONS_TRACKRECORD_BASE_URL`, where a browser can read the store's files;
            artifacts then link to pages and show pictures from there.
    """

    tracking_path: str | None
    prefect_storage: str | None
    prefect_home: Path
    spool: Path
    store_deadline: float = 3.0
    call_deadline: float = 30.0
    end_deadline: float = 60.0
    durability: Durability = "spool"
    upload_seconds: float = 1.0
    spool_limit: int = 1024 << 20
    ui_url: str | None = None
    quiet: bool = False
    silence: timedelta = timedelta(hours=24)
    running_silence: timedelta = timedelta(hours=72)
    events: bool = True
    live_seconds: float = 10.0
    base_url: str | None = None

    @property
    def default_path(self) -> Path:
        """The folder that holds the history where nothing names another."""
        return self.prefect_home / "trackrecord" / "history"

    def at_home(self, home: Path) -> Settings:
        """These where Prefect's home is elsewhere than the environment says."""
        moved = self.spool == self.prefect_home / "trackrecord" / "spool"
        spool = home / "trackrecord" / "spool" if moved else self.spool
        return replace(self, prefect_home=home, spool=spool)

    @classmethod
    def from_env(cls, env: Mapping[str, str], tell: Callable[[str], None] | None = None) -> Settings:
        """Read the settings from `env`; an empty variable counts as unset.

        Args:
            env: the variables.
            tell: told of each that can't be used; a warning in the log where there is none. Its default is used.
        """
        get = _Reader(env, tell or warn_once)
        home = Path(get("PREFECT_HOME") or "~/.prefect").expanduser().absolute()
        spool = get("TRACKRECORD_SPOOL")
        return cls(
            tracking_path=get("TRACKING_PATH"),
            prefect_storage=get("PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE"),
            prefect_home=home,
            spool=(Path(spool).expanduser().absolute() if spool else home / "trackrecord" / "spool"),
            store_deadline=get.number("TRACKRECORD_STORE_DEADLINE", 3.0),
            call_deadline=get.number("TRACKRECORD_CALL_DEADLINE", 30.0),
            end_deadline=get.number("TRACKRECORD_END_DEADLINE", 60.0),
            durability=get.durability("TRACKRECORD_DURABILITY"),
            upload_seconds=get.number("TRACKRECORD_UPLOAD_SECONDS", 1.0),
            spool_limit=int(get.number("TRACKRECORD_SPOOL_LIMIT_MB", 1024.0) * (1 << 20)),
            ui_url=get("PREFECT_UI_URL"),
            quiet=get.switch("TRACKRECORD_QUIET", False),
            silence=get.hours("TRACKRECORD_SILENCE_HOURS", 24.0),
            running_silence=get.hours("TRACKRECORD_RUNNING_SILENCE_HOURS", 72.0),
            events=get.switch(f"{INTEGRATION}EVENTS", True),
            live_seconds=get.number(f"{INTEGRATION}LIVE_SECONDS", 10.0, zero=True),
            base_url=get(f"{INTEGRATION}BASE_URL"),
        )


class _Reader:
    """Reads variables as what they are to be; a wrong one must not stop a flow: it is told of, and its default used."""

    def __init__(self, env: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self._env, self._tell = env, tell

    def __call__(self, name: str) -> str | None:
        return self._env.get(name, "").strip() or None

    def _wrong(self, name: str, text: str, default: str, what: str) -> None:
        self._tell(f"{name}={text[:40]} is left out, {default} is used: it is {what}")

    def number(self, name: str, default: float, *, zero: bool = False, endless: bool = False) -> float:
        text = self(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if (value > 0 or (zero and value == 0)) and (endless or value < math.inf):
            return value
        self._wrong(name, text, f"{default:g}", f"a number {'not below 0' if zero else 'above 0'}")
        return default

    def hours(self, name: str, default: float) -> timedelta:
        try:
            return timedelta(hours=self.number(name, default, endless=True))
        except OverflowError:  # as good as never
            return timedelta.max

    def switch(self, name: str, default: bool) -> bool:
        text = self(name)
        if text is None:
            return default
        if text.lower() in _ON | _OFF:
            return text.lower() in _ON
        self._wrong(name, text, str(default).lower(), "true or false")
        return default

    def durability(self, name: str) -> Durability:
        text = self(name) or "spool"
        try:
            return durability_of(text.lower())
        except ConfigurationError:
            self._wrong(name, text, "spool", "spool or stored")
            return "spool"


def warn_once(text: str) -> None:
    """Say in the log what is wrong with a setting; they are read often, and it is the same each time."""
    if text not in _told:
        _told.add(text)
        _logger.warning("%s", text)


def told(texts: Iterable[str]) -> None:
    """Let `warn_once` be silent about what somebody was told in another way."""
    _told.update(texts)


def durability_of(text: str) -> Durability:
    """The durability that a person named.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if text not in ("spool", "stored"):
        raise ConfigurationError(f"durability is 'spool' or 'stored', not {text!r}")
    return "stored" if text == "stored" else "spool"


def read() -> Settings:
    """The settings as the environment says them at this moment."""
    return Settings.from_env(os.environ)


def checked() -> tuple[Settings, list[str]]:
    """The settings at this moment, and what is wrong with the environment's, one line for each."""
    found: list[str] = []
    return Settings.from_env(os.environ, found.append), found


@functools.lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process. Tests that change the environment call `current.cache_clear()`."""
    return read()


def is_empty(name: str) -> bool:
    """Whether an environment variable is set, and to nothing: of Prefect's settings that says that there is none."""
    return os.environ.get(name) == ""


def variable(name: str) -> str | None:
    """The environment variable that a configuration names (for a password), read now; None where unset or empty."""
    return os.environ.get(name) or None
