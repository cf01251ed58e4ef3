"""What earlier attempts of a flow run have left on its page: found by one request, removed where it no longer holds.

An attempt that Prefect begins anew (the UI's button Retry) has a process of its own, which knows nothing of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from prefect_trackrecord._prefect import artifact_keys, posting
from prefect_trackrecord._prefect.bounded import Requests
from prefect_trackrecord.documents.models import FileProcessingLog, RunMetadata

logger = logging.getLogger("prefect_trackrecord")
SECONDS = 2.0
"""How long removing may take, at the end of a later attempt; the flow waits for it."""


def file_name(run: RunMetadata, task_run_id: str | None) -> str:
    """The name, among what was shown of a run, of the text about a failed file."""
    return f"{artifact_keys.kind_key('file', run)}/{task_run_id}"


def find(prefect: Requests, run: RunMetadata, shown: dict[str, str]) -> None:
    """Add to `shown` what the API has of earlier attempts. Never raises, and asks nothing for a first attempt.

    Args:
        prefect: makes the request.
        run: the sealed run.
        shown: ids by key, or by `file_name`; where this process has shown something, it knows of the rest.
    """
    if run.run_count < 2 or shown:
        return
    file = artifact_keys.kind_key("file", run)
    keys = [artifact_keys.key(run), artifact_keys.run_key(run.run_id), file]
    keys += [artifact_keys.kind_key(kind, run) for kind in ("failures", "pictures")]
    try:
        for row in posting.under(prefect, run.run_id, keys):
            name = file_name(run, row.get("task_run_id")) if row["key"] == file else row["key"]
            shown.setdefault(str(name), str(row["id"]))
    except Exception as exc:  # noqa: BLE001 - they stay as they are, and new ones are made
        logger.debug("what was shown of run %s before is not known: %s: %s", run.run_id, type(exc).__name__, exc)


def remove_outdated(
    prefect: Requests, run: RunMetadata, failed: Collection[FileProcessingLog], shown: dict[str, str]
) -> None:
    """Remove the failures of earlier attempts that are none now, or that are told on a later task run. Never raises.

    Args:
        prefect: makes the requests.
        run: the sealed run.
        failed: its failed files.
        shown: what was shown of it; loses what is removed.
    """
    files, table = file_name(run, ""), artifact_keys.kind_key("failures", run)
    holds = {file_name(run, row.task_run_id) for row in failed} | ({table} if failed else set())
    old = [name for name in shown if (name == table or name.startswith(files)) and name not in holds]
    deadline = time.monotonic() + SECONDS
    try:
        for name in sorted(old, key=lambda name: name != table):
            if time.monotonic() > deadline:
                break
            posting.delete(prefect, shown[name])
            del shown[name]
    except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
        logger.debug("an outdated artifact of run %s stays: %s: %s", run.run_id, type(exc).__name__, exc)
