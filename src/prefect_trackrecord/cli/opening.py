"""`trackrecord runs open`: a run's page in the browser."""

from __future__ import annotations

import contextlib
import os
import time
import webbrowser
from pathlib import Path

from prefect_trackrecord import settings
from prefect_trackrecord.cli.output import dump, note, say
from prefect_trackrecord.cli.place import storage_of
from prefect_trackrecord.cli.runs import find_run
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.layout import RECORDS, safe_part
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.errors import RunNotFoundError

PAGE = "records_report.html"
_KEPT_FOR = 24 * 3600


def open_run(storage: str | None, run_id: str, ui: bool, only_print: bool, as_json: bool) -> int:
    """Say the address of a run's page, and open it; 1 where there is nothing to open it with."""
    archive = storage_of(storage).archive
    run = find_run(archive, run_id)
    url = (None if ui else _records_page(archive, run)) or _in_ui(run)
    if url is None:
        why = "PREFECT_UI_URL does not say where Prefect's UI is" if run.flow_name else "it is no run of Prefect's"
        raise RunNotFoundError(f"run {run.run_id} has no page to open: {'' if ui else 'it has no records, and '}{why}")
    if as_json:
        dump({"run_id": run.run_id, "url": url})
    else:
        say(url)
    if only_print or as_json:
        return 0
    if not webbrowser.open(url):
        note("there is no browser on this machine to open it with")
        return 1
    return 0


def _records_page(archive: Archive, run: RunMetadata) -> str | None:
    """The page of the run's records; of one in a bucket a copy is made. None for a run without records."""
    name = safe_part(run.run_id)
    for process in archive.store.folders(RECORDS):
        if name not in archive.store.folders(f"{RECORDS}/{process}"):
            continue
        root = archive.store.local_root
        if root is not None and (page := root / RECORDS / process / name / PAGE).is_file():
            return page.as_uri()
        from prefect_trackrecord.record.archive_zip import save_page
        from prefect_trackrecord.record.kept import KeptRecords
        from prefect_trackrecord.record.places import of_archive

        copy = _place_for_copies() / f"records-{name}.html"
        mask = os.umask(0o077)  # whatever else this process does, it does before or after
        try:
            save_page(KeptRecords(of_archive(archive, process, name)), copy)
        finally:
            os.umask(mask)
        return copy.as_uri()
    return None


def _place_for_copies() -> Path:
    """A folder of the user's alone. What is left there from earlier days goes: the browser has it by now."""
    folder = settings.current().prefect_home / "trackrecord" / "opened"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for old in folder.iterdir():
        with contextlib.suppress(OSError):
            if old.stat().st_mtime < time.time() - _KEPT_FOR:
                old.unlink()
    return folder


def _in_ui(run: RunMetadata) -> str | None:
    if not run.flow_name:
        return None
    base = settings.current().ui_url
    if base is None:  # Prefect knows it from its API's address
        from prefect_trackrecord._prefect.settings import current

        base = current().ui_url
    return f"{base.rstrip('/')}/runs/flow-run/{run.run_id}" if base else None
