"""What is done for the records of a run when it ends, and later for a run that could not end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_trackrecord.documents.layout import RECORDS, safe_part
from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.record.folder import JOURNAL, inside
from prefect_trackrecord.record.output import Output
from prefect_trackrecord.record.places import Located, of_archive
from prefect_trackrecord.record.publish import Publisher
from prefect_trackrecord.record.tracing import tracing
from prefect_trackrecord.store import within

if TYPE_CHECKING:
    from prefect_trackrecord.documents.archive import Archive


def complete_records(archive: Archive, process: str, run_id: str, *, elsewhere: bool = False) -> bool:
    """A run ended: bring its records' documents up to date, and into the store. Never raises.

    Records that only other processes of this host used are among them. Nothing happens for a run without records.

    Args:
        archive: the run's.
        process: the name under which its records are kept (`RunContext.process_name`).
        run_id: the run.
        elsewhere: whether other hosts may have brought records of it into the store, this one having none.

    Returns:
        Whether everything is in the store; what is not stays on this host, for `recover_records`.
    """
    done = True
    for output in _of_run(archive, process, run_id, elsewhere=elsewhere):
        output.finish()
        if not output.publish():
            done = False
        elif output.publisher is not None:
            _leave(output)
    return done


def send_records(archive: Archive, run_id: str) -> bool:
    """Bring what this process tells of a run's records into the store, for the flow's end on another host.

    Returns:
        Whether all is there, or there is nothing; what is not stays on this host. Never raises.
    """
    sent = True
    for output in list(tracing.outputs.values()):
        if output.recorder.run_id == run_id and output is not tracing.fixed:
            with within(archive.settings.call_deadline):
                sent = output.send() and sent
    return sent


def recover_records(archive: Archive) -> list[str]:
    """Bring into a store what this host still keeps for it; returns the runs that are done. Never raises."""
    done = []
    base = Path(archive.spool) / RECORDS
    for folder in [run for process in inside(base) for run in inside(process)]:
        if not os.path.isdir(folder / JOURNAL):
            continue
        process, run_id = folder.parent.name, folder.name
        if complete_records(archive, process, run_id):
            done.append(run_id)
    return done


def _of_run(archive: Archive, process: str, run_id: str, *, elsewhere: bool) -> Iterator[Output]:
    """The documents of a run: those that this process has open, else those on this host."""
    try:
        located = of_archive(archive, process, run_id)
    except StoreError:
        return
    open_ = [
        o for o in list(tracing.outputs.values())
        if o.folder.path == located.path or safe_part(o.recorder.run_id) == safe_part(run_id)
    ]  # fmt: skip
    if not open_ and (_there(located) or (elsewhere and _stored(located))):
        open_ = [tracing.open(located)]
    yield from open_


def _there(located: Located) -> bool:
    return any(os.path.isdir(home / JOURNAL) for home in (located.path, located.spool) if home is not None)


def _stored(located: Located) -> bool:
    """Whether the run's store, elsewhere, holds records of it."""
    try:
        return located.store is not None and Publisher(located.store, located.prefix).is_there()
    except StoreError:
        return False


def _leave(output: Output) -> None:
    """Tidy the spool; where another process still writes there, that is left to `recover_records`."""
    assert output.publisher is not None
    with suppress(StoreError):
        output.publisher.leave(output, tracing.alone(output))
    tracing.drop(output)
