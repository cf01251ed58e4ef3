"""What a person is told where a history or its spool can't be written: once per process, with the way out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from prefect_trackrecord.store.base import Store, StoreConfig

logger = logging.getLogger("prefect_trackrecord")
_warned: set[str] = set()


class Troubles:
    """The warnings of an archive."""

    _name: str | None
    _config: StoreConfig | None

    @property
    def store(self) -> Store:
        """The store."""
        raise NotImplementedError

    @property
    def spool(self) -> Path:
        """This store's folder in the spool of this host."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What `--storage` is given to mean it: its block's name, else its URL."""
        return self._name or self.store.url

    def warn(self, text: str, *, about: str | None = None) -> None:
        """Log a warning, once per process and text, or per what it is `about`."""
        key = about or text
        if key not in _warned:
            _warned.add(key)
            logger.warning(text)

    def not_stored(self, run_id: str, exc: Exception) -> None:
        """Warn that a run's documents could not be made; its events are kept."""
        self.warn(
            f"the history at {self.store.url} can't be written ({exc}); the events of run {run_id} are kept on this "
            f"host. {self._way_out()}",
            about=f"can't be written: {self.store.url}",
        )

    def _diverted(self, trouble: str) -> None:
        self.warn(
            f"the history at {self.store.url} can't be written ({trouble}); events are kept in {self.spool}. "
            f"{self._way_out()}",
            about=f"can't be written: {self.store.url}",
        )

    def _spool_refuses(self, trouble: str) -> None:
        self.warn(
            f"the spool on this host takes nothing ({trouble}); events go to {self.store.url} directly, and those that "
            "it does not take either are lost",
            about=f"the spool takes nothing: {self.spool}",
        )

    def _losing(self, trouble: str) -> None:
        self.warn(f"events for {self.store.url} are lost: {trouble}", about=f"are lost: {self.store.url}")

    def _lost(self, run_id: str, dropped: Mapping[str, int]) -> None:
        causes = "; ".join(dropped)
        self.warn(f"{sum(dropped.values()):,} events of run {run_id} are lost: {causes}")

    def _way_out(self) -> str:
        if self._config is not None and self._config.options and self._name in (None, self._config.url):
            return "Once it can be written again: prefect_trackrecord.recover(storage), with the same TrackingStorage"
        return f"Once it can be written again: trackrecord recover --storage {self.name}"
