"""What Prefect is shown of a run that has ended: its artifacts, and events.

trackrecord-<flow>            the summary, a version for each run: the time line of the flow
trackrecord-run-<run id>      progress while it goes on, and the summary in its place at the end
trackrecord-failures-<flow>   the failed files as a table
trackrecord-file-<flow>       one failed file, on its task run
trackrecord-pictures-<flow>   pictures of the run's records
"""

from __future__ import annotations

import base64
import mimetypes
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_trackrecord._prefect import (
    artifact,
    artifact_keys,
    artifact_others,
    artifact_table,
    events_out,
    live,
    posting,
    shown_before,
)
from prefect_trackrecord._prefect import artifact_story as story
from prefect_trackrecord._prefect.artifact_links import Links
from prefect_trackrecord._prefect.bounded import Requests
from prefect_trackrecord._prefect.runs import LiveRun
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus, RunMetadata
from prefect_trackrecord.errors import TrackRecordError
from prefect_trackrecord.tracking.storage import BLOCK_PREFIX

SECONDS = 0.8
"""How long the lesser artifacts may take in all; the flow waits for them."""
MAX_FILES = 10
MAX_PICTURES = 6
MAX_EMBEDDED = 80_000
"""Characters of pictures in a text: above 0.1 MB Prefect's pages take seconds."""
_PAGE = "records_report.html"
_IMAGES = "images"


@dataclass(frozen=True)
class Place:
    """Where a run is kept, and what leads there."""

    archive: Archive
    url: str
    base_url: str | None
    ui_url: str | None

    @classmethod
    def of(cls, run: LiveRun) -> Place:
        """The place of a run of this process."""
        settings = run.archive.settings
        return cls(run.archive, run.storage.url, settings.base_url, settings.ui_url)

    @property
    def option(self) -> str | None:
        """What `--storage` must be in any folder; None where a command finds the place without."""
        name = self.archive.name
        if name.startswith(BLOCK_PREFIX):
            return name
        return None if Path(self.url) == self.archive.settings.default_path else self.url

    def link(self, key: str) -> str | None:
        """Where a browser reads an object of the store; None where nobody said."""
        if not self.base_url or not self.base_url.startswith(("http://", "https://")):
            return None
        return f"{self.base_url.rstrip('/')}/{key}"


def show(prefect: Requests, run: LiveRun, sealed: RunMetadata) -> None:
    """Show a run that has ended; done again, it changes what was shown.

    Raises:
        Exception: the API did not take the summary.
    """
    place = Place.of(run)
    with live.settled(run) as known:
        tell(prefect, place, sealed, run.shown, was_live=_was_long(run, sealed), progress=known, texts=run.texts)
    how = (sealed.status, sealed.total_files, sealed.failed_count)
    if run.said != how:
        run.said = how
        events_out.run_ended(sealed, place.url, run.archive.settings)


def tell(
    prefect: Requests,
    place: Place,
    run: RunMetadata,
    shown: dict[str, str],
    *,
    was_live: bool,
    progress: dict[str, Any] | None = None,
    texts: dict[str, str] | None = None,
) -> None:
    """Make the artifacts of a run that has ended.

    Args:
        prefect: makes the requests.
        place: where the run is kept.
        run: the sealed run.
        shown: the artifacts that were made of its end before, by key, which are changed; those of earlier attempts
            and new ones are added, and those removed that no longer hold.
        was_live: whether its progress may have been shown.
        progress: what this host knows of the artifact that shows it (see `live.settled`).
        texts: what this process has said of failed files, by the artifacts' keys; said anew where it is another now.

    Raises:
        Exception: the API did not take the summary.
    """
    failed = [row for row in place.archive.files(run) if row.status is FileStatus.FAILED] if run.failed_count else []
    own = _has_records(place.archive, run)
    links, others = _links(place, run, own), artifact_others.ask(prefect, run, place.archive)
    about_others: Any = {"before": others.before, "first": others.first, "mended": others.mended}
    text = artifact.markdown(run, failed[: artifact.MAX_FAILED], place.url, links, **about_others)
    about = artifact.description(run)
    shown_before.find(prefect, run, shown)
    was_live = was_live or artifact_keys.run_key(run.run_id) in shown
    key = artifact_keys.key(run)
    shown[key] = _put(prefect, run, key, text, about, shown.get(key), metadata=story.metadata(run))
    _replace_progress(prefect, run, text, about, progress, was_live=was_live)
    events_out.files_failed(run.run_id, failed, place.archive.settings)
    if failed:
        key = artifact_keys.kind_key("failures", run)
        table = artifact_table.table(failed, links)
        words = artifact_table.table_description(run, failed)
        shown[key] = _put(prefect, run, key, table, words, shown.get(key), "table")
    deadline = time.monotonic() + SECONDS
    _show_files(prefect, run, failed, shown, deadline, {} if texts is None else texts)
    shown_before.remove_outdated(prefect, run, failed, shown)
    artifact_others.tell_first(prefect, run, others, links, place.archive, deadline)
    if own:
        _show_pictures(prefect, place, run, shown)


def _replace_progress(
    prefect: Requests,
    run: RunMetadata,
    text: str,
    about: str,
    progress: dict[str, Any] | None,
    *,
    was_live: bool,
) -> None:
    """Put the summary in the place of the run's progress, where that was shown."""
    end = live.end_of(run.status.value, run.run_count)
    if progress and posting.update(prefect, progress["artifact"], text, about, {**progress["metadata"], **end}):
        return
    found = posting.find(prefect, run.run_id, artifact_keys.run_key(run.run_id)) if was_live else None
    if found is not None:
        posting.update(prefect, found["id"], text, about, {**(found.get("metadata_") or {}), **end})


def _was_long(run: LiveRun, sealed: RunMetadata) -> bool:
    every = run.archive.settings.live_seconds
    return bool(every) and (sealed.duration_ms or 0) >= every * 1000


def _put(
    prefect: Requests,
    run: RunMetadata,
    key: str,
    data: str,
    about: str,
    known: str | None,
    kind: str = "markdown",
    metadata: dict[str, str] | None = None,
    task_run_id: str | None = None,
) -> str:
    if known is not None and posting.update(prefect, known, data, about, metadata):
        return known
    return posting.create(prefect, run.run_id, key, data, about, kind=kind, task_run_id=task_run_id, metadata=metadata)


def _show_files(
    prefect: Requests,
    run: RunMetadata,
    failed: list[FileProcessingLog],
    shown: dict[str, str],
    deadline: float,
    texts: dict[str, str],
) -> None:
    """The first failed files, each on its own task run, where somebody looks for why it failed; one at least."""
    key = artifact_keys.kind_key("file", run)
    made = 0
    for row in failed[:MAX_FILES]:
        name = shown_before.file_name(run, row.task_run_id)
        if row.task_run_id is None:
            continue
        about, data = artifact.file_description(row), artifact.file_markdown(row)
        if name in shown and texts.get(name, data) == data:
            continue
        if made and time.monotonic() > deadline:
            break
        made += 1
        shown[name] = _put(prefect, run, key, data, about, shown.get(name), task_run_id=row.task_run_id)
        texts[name] = data


def _has_records(archive: Archive, run: RunMetadata) -> bool:
    """Whether the run may have business records; a look that costs no request."""
    if "prefect_trackrecord.record.tracing" in sys.modules:
        return True
    root = archive.store.local_root
    return root is not None and (root / _records(run)).is_dir()


def _records(run: RunMetadata) -> str:
    return layout.records_prefix(run.flow_name or run.command, run.run_id)


def _links(place: Place, run: RunMetadata, has_records: bool) -> Links:
    pages: list[tuple[str, str]] = []
    key = f"{_records(run)}/{_PAGE}"
    try:
        link = place.link(key) if has_records else None
        if link is not None and place.archive.store.get(key) is not None:
            pages.append(("the records of this run", link))
    except TrackRecordError:
        pass
    day = layout.day_of(run.started_at)
    for name, own in (
        ("the run's document", layout.run_key(run.run_id, day)),
        ("its files", layout.files_key(run.run_id, day) if run.total_files else ""),
    ):
        if own and (link := place.link(own)) is not None:
            pages.append((name, link))
    return Links(place.ui_url, tuple(pages), place.option)


def _show_pictures(prefect: Requests, place: Place, run: RunMetadata, shown: dict[str, str]) -> None:
    """Pictures of the run's records in one text: both pages show small ones that a text holds, and linked ones."""
    room, more = MAX_EMBEDDED, 0
    urls: list[str] = []
    for entry in place.archive.store.list(f"{_records(run)}/{_IMAGES}"):
        url = place.link(entry.key)
        if url is None and len(urls) < MAX_PICTURES and (url := _embedded(place.archive, entry.key, entry.size, room)):
            room -= len(url)
        if url is None or len(urls) >= MAX_PICTURES:
            more += 1
        else:
            urls.append(url)
    if not urls:
        return
    text = "\n\n".join(f"![picture {n}]({url})" for n, url in enumerate(urls, 1))
    if more:
        text += f"\n\n{more:,} more are kept with the records."
    key = artifact_keys.kind_key("pictures", run)
    about = f"Pictures of the records of run {run.run_id}"
    shown[key] = _put(prefect, run, key, text + "\n", about, shown.get(key))


def _embedded(archive: Archive, key: str, size: int, room: int) -> str | None:
    """A small picture as a URL that holds it."""
    kind: Any = mimetypes.guess_type(key)[0]
    if size * 4 / 3 + 60 > room or kind not in {"image/png", "image/jpeg", "image/gif", "image/webp"}:
        return None
    blob = archive.store.get(key)
    return None if blob is None else f"data:{kind};base64,{base64.b64encode(blob.data).decode()}"
