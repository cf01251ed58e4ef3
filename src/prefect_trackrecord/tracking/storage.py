"""TrackingStorage: where runs are kept, with the seed's own methods to save and list them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, RunMetadata, RunStatus
from prefect_trackrecord.errors import ConfigurationError, DamagedDocumentError, StorageUrlError
from prefect_trackrecord.settings import Settings, current, durability_of
from prefect_trackrecord.store import check_url, open_store
from prefect_trackrecord.store.base import StoreConfig

BLOCK_PREFIX = "trackrecord-storage/"


class TrackingStorage:
    """Keeps runs in a folder or bucket.

    Args:
        artifact_manager: an fsspec filesystem, or a Prefect filesystem block (RemoteFileSystem, LocalFileSystem);
            the protocol of `base_path` is then dropped and the path taken inside it. None: `base_path` says it all.
        base_path: a local folder, an fsspec URL (`azure://container/path` is an alias of `abfs://`), or a Prefect
            block, `trackrecord-storage/<name>`. Where left out: as for `resolve_storage`.
        options: fsspec's storage options for the URL (credentials).
        durability: what an event has reached when it is acknowledged: `spool` (this host's disk; the default) or
            `stored` (the store itself, which costs an upload each time); `TRACKRECORD_DURABILITY` where left out.

    Attributes:
        archive: the journal and documents behind it.
        damaged: the documents that the last `list_runs` could not read, each with its key.

    Raises:
        StorageUrlError: the URL can't be parsed, or `artifact_manager` is neither of the above.
        ConfigurationError: there is no such durability.
        MissingDriverError: the URL's driver is not installed; the message names the extra.
    """

    def __init__(
        self,
        artifact_manager: Any = None,
        base_path: str | Path | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        durability: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or current()
        given = None if base_path is None else str(base_path)
        # options as a part of a StoreConfig, which never shows them
        self._made_of = (artifact_manager, given, StoreConfig("", dict(options or {})), durability, settings)
        if durability is not None:
            settings = replace(settings, durability=durability_of(durability))
        if artifact_manager is not None:
            filesystem, path = _filesystem_of(artifact_manager, str(base_path or ""))
            store = open_store(StoreConfig(path), filesystem=filesystem, settings=settings)
            self.archive = Archive(store, settings)
        else:
            place = str(base_path or _place_of(settings))
            own = StoreConfig(place, dict(options or {}))
            config = _block_config(place) if place.startswith(BLOCK_PREFIX) else own
            check_url(config.url)
            self.archive = Archive(config, settings, name=place)
        self.damaged: list[DamagedDocumentError] = []

    @classmethod
    def around(cls, archive: Archive) -> TrackingStorage:
        """The storage of an archive that is open already."""
        made = cls.__new__(cls)
        config = archive.config
        made._made_of = (None, config.url, config, archive.durability, archive.settings)  # noqa: SLF001 - its own
        made.archive, made.damaged = archive, []
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process, such as a pool's, opens it anew: connections and locks don't travel."""
        return _made_again, self._made_of

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return self.archive.store.url

    def __repr__(self) -> str:
        return f"TrackingStorage({self.url!r})"

    def save_run_metadata(self, metadata: RunMetadata) -> None:
        """Save a run's metadata, whole and atomically.

        Raises:
            StoreError: it could not be written.
        """
        self.archive.save(metadata.run_id, "run", metadata.model_dump(mode="json"))

    def save_file_logs(self, file_logs: Sequence[FileProcessingLog]) -> None:
        """Save the rows of one run or of several, whole and atomically, beside those that are there.

        Raises:
            StoreError: they could not be written.
        """
        by_run: dict[str, list[dict[str, Any]]] = {}
        for row in file_logs:
            by_run.setdefault(row.run_id, []).append(row.model_dump(mode="json"))
        for run_id, rows in by_run.items():
            self.archive.save(run_id, "files", rows)

    def save_email_logs(self, email_results: Mapping[str, Any] | Sequence[Any], run_id: str) -> None:
        """Save a run's email results under the date of that run.

        Args:
            email_results: as `RunTracker.record_email_results` takes them.
            run_id: the run; its date is looked up, today's is taken for a run that nobody knows.

        Raises:
            StoreError: they could not be written.
        """
        from prefect_trackrecord.tracking.emails import email_rows

        rows = [EmailResult.model_validate(r).model_dump(mode="json") for r in email_rows(email_results)]
        self.archive.save(run_id, "emails", rows)

    def list_runs(
        self,
        start_date: date | datetime | str | None = None,
        end_date: date | datetime | str | None = None,
        command: str | None = None,
        status: RunStatus | str | None = None,
    ) -> list[RunMetadata]:
        """The runs that started in a window, oldest first.

        A date, or an end at midnight, means the whole day, both ends included; other ends are exclusive; what has no
        time zone is UTC. What could not be read is in `damaged` afterwards.

        Raises:
            DateRangeError: the range runs backwards.
            StoreError: the store can't be listed.
        """
        found = self.archive.runs(start_date, end_date, command, status)
        self.damaged = found.damaged
        return found.runs


def _made_again(
    artifact_manager: Any,
    base_path: str | None,
    config: StoreConfig,
    durability: str | None,
    settings: Settings,
) -> TrackingStorage:
    return TrackingStorage(
        artifact_manager, base_path, options=config.options, durability=durability, settings=settings
    )


def _filesystem_of(manager: Any, base_path: str) -> tuple[Any, str]:
    """The fsspec filesystem behind an artifact manager (None: the local one), and the path in it."""
    path = base_path.split("://", 1)[-1].rstrip("/") if "://" in base_path else base_path
    if hasattr(manager, "cat_file") and hasattr(manager, "pipe_file"):
        return manager, path
    root = str(getattr(manager, "basepath", None) or "")
    remote = getattr(manager, "filesystem", None)
    if remote is not None and hasattr(remote, "cat_file"):  # Prefect's RemoteFileSystem
        return remote, "/".join(p for p in (root.split("://", 1)[-1].rstrip("/"), path.strip("/")) if p)
    if hasattr(manager, "read_path") and hasattr(manager, "basepath"):  # Prefect's LocalFileSystem
        return None, str(Path(root or ".").expanduser().absolute() / path.strip("/"))
    raise StorageUrlError(
        f"artifact_manager must be an fsspec filesystem or a Prefect filesystem block, not {type(manager).__name__}; "
        "leave it out to open base_path by its own protocol"
    )


def resolve_storage(
    storage: TrackingStorage | StoreConfig | str | Path | None = None, settings: Settings | None = None
) -> TrackingStorage:
    """The storage that `track`, RunTracker and the command line use.

    The first that is set: `storage` (a TrackingStorage, a URL or folder, or `trackrecord-storage/<block name>`),
    `TRACKING_PATH`, the setting `PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE`, a folder under the Prefect home.

    Raises:
        ConfigurationError: what is set can't be used.
    """
    settings = settings or current()
    if isinstance(storage, TrackingStorage):
        return storage
    if isinstance(storage, StoreConfig):
        return TrackingStorage(
            base_path=storage.url, options=storage.options, durability=storage.durability, settings=settings
        )
    return TrackingStorage(base_path=storage or None, settings=settings)


def _place_of(settings: Settings) -> str | Path:
    return settings.tracking_path or settings.prefect_storage or settings.default_path


def _block_config(name: str) -> StoreConfig:
    """What a storage block says. The one who knows blocks lies above this room and is asked by name."""
    try:
        load: Callable[[str], StoreConfig] = importlib.import_module(
            "prefect_trackrecord._prefect.blocks"
        ).load_store_config
    except ImportError as exc:
        raise ConfigurationError(f"{name} is a Prefect block, and Prefect can't be imported: {exc}") from None
    return load(name)
