"""`trackrecord records report` and `records pack`: the records of a run as one page, or as an archive."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_trackrecord.cli.output import dump, note, say
from prefect_trackrecord.cli.progress import waiting
from prefect_trackrecord.cli.records import runs_with_records
from prefect_trackrecord.documents.layout import safe_part
from prefect_trackrecord.errors import RunNotFoundError, UsageError
from prefect_trackrecord.pages.words import plural

if TYPE_CHECKING:
    from prefect_trackrecord.record.places import Located


def write_report(storage: str | None, folder: str | None, run_id: str, target: Path | None, as_json: bool) -> int:
    """Write the page of a run's records, pictures inside, to one file."""
    from prefect_trackrecord.record.archive_zip import save_page

    return _write(storage, folder, run_id, target, ".html", save_page, as_json)


def write_archive(storage: str | None, folder: str | None, run_id: str, target: Path | None, as_json: bool) -> int:
    """Pack page, log and pictures of a run's records into one archive."""
    from prefect_trackrecord.record.archive_zip import pack

    return _write(storage, folder, run_id, target, ".zip", pack, as_json)


def _write(
    storage: str | None,
    folder: str | None,
    run_id: str,
    target: Path | None,
    suffix: str,
    write: Callable[[Any, Path | int], None],
    as_json: bool,
) -> int:
    from prefect_trackrecord.record.kept import KeptRecords

    with waiting("reading the records"):
        located = find(storage, folder, run_id)
        records = KeptRecords(located)
    name = f"records-{safe_part(located.process)}-{safe_part(located.run_id)}{suffix}"
    path = Path(name) if target is None else target / name if target.is_dir() else target
    path = Path(os.path.abspath(path))
    printed = _is_standard_output(path)
    if printed and as_json:
        raise UsageError(f"{path} is the output in which --json tells of the file; give another file, or no --json")
    try:
        with waiting(f"writing {path}"):
            write(records, _STANDARD_OUTPUT if printed else path)
    except BrokenPipeError:  # of /dev/stdout: its reader has seen enough
        raise
    except OSError as exc:
        raise UsageError(f"{path} can't be written: {exc.strerror or exc}") from None
    if as_json:
        size = path.stat().st_size
        dump({"run_id": located.run_id, "process": located.process, "records": len(records), "path": str(path),
              "bytes": size})  # fmt: skip
    else:
        if not printed:
            say(str(path))
        note(f"{plural(len(records), 'record')} of run {located.run_id} of {located.process}")
    return 0


_STANDARD_OUTPUT = 1


def _is_standard_output(path: Path) -> bool:
    """Whether standard output goes there. Opened anew, a file would be written from its beginning, by two."""
    with contextlib.suppress(OSError):  # one is not there, or is closed
        return os.path.samestat(os.stat(path), os.fstat(_STANDARD_OUTPUT))
    return False


def find(storage: str | None, folder: str | None, run_id: str) -> Located:
    """The one run with records whose id begins so.

    Raises:
        RunNotFoundError: there is none.
        UsageError: there are several, or nothing was given.
    """
    if not run_id:
        raise UsageError("a run's id, or its beginning, must not be empty")
    place, runs = runs_with_records(storage, folder)
    found = {one.run_id: one for one in runs if one.run_id.startswith(run_id)}
    if run_id in found:
        return found[run_id]
    if not found:
        raise RunNotFoundError(f"no run {run_id!r} with records in {place}")
    if len(found) > 1:
        some = ", ".join(sorted(found)[:5]) + (", ..." if len(found) > 5 else "")
        raise UsageError(f"{len(found)} runs begin with {run_id!r}: {some}; give more of the id")
    return next(iter(found.values()))
