"""Which run a record belongs to right now, and the functions that a program calls about all of its records.

A program says once where records go. Which folder below it is asked for at each event, since one process may be in
several runs: inside a tracked flow the run is known, outside there is one fixed folder.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

from prefect_trackrecord.documents.layout import records_prefix, safe_part
from prefect_trackrecord.journal.context import RunContext, current_run
from prefect_trackrecord.record.archive_zip import pack
from prefect_trackrecord.record.folder import RunFolder
from prefect_trackrecord.record.output import Output, save_page
from prefect_trackrecord.record.page_model import DEFAULT_PROCESS, DEFAULT_RUN
from prefect_trackrecord.record.recorder import Recorder
from prefect_trackrecord.settings import current

logger = logging.getLogger("prefect_trackrecord")


@dataclass(frozen=True)
class Place:
    """Where a program said that records go."""

    base: Path
    process: str | None
    run_id: str | None


class _Tracing:
    """This process's recorders. `lock` guards making them, never using them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, as a new process would; what is on disk stays. For tests."""
        self.lock = threading.RLock()
        self.place: Place | None = None  # where the program said
        self.limbo = Recorder(None, DEFAULT_PROCESS, DEFAULT_RUN)
        self.outputs: dict[Path, Output] = {}
        self.fixed: Output | None = None
        self.of_run: dict[str, Output] = {}
        self._sizes: dict[Path, dict[str, int]] = {}
        self._children_exit = 0

    def output(self) -> Output | None:
        """The documents of the run that this code is in; None while there is neither place nor run."""
        run = current_run()
        if run is None:
            if self.fixed is None and self.place is not None:
                self.fixed = self._choose(None)
            return self.fixed
        return self.of_run.get(run.run_id) or self._choose(run)

    def recorder(self) -> Recorder:
        """The recorder of the run that this code is in."""
        output = self.output()
        return output.recorder if output is not None else self.limbo

    def _choose(self, run: RunContext | None) -> Output:
        with self.lock:
            found = self._open(self.place, run)
            if run is not None:
                self.of_run[run.run_id] = found
            return found

    def forget(self) -> None:
        """Let each run's folder be chosen once more."""
        self.fixed = None
        self.of_run.clear()

    def _open(self, place: Place | None, run: RunContext | None) -> Output:
        process = (place and place.process) or (run.process_name if run else DEFAULT_PROCESS)
        run_id = (place and place.run_id) or (run.run_id if run else DEFAULT_RUN)
        path = _path_of(place, run, process, run_id)
        output = self.outputs.get(path)
        if output is None or output.recorder.gone():
            folder = RunFolder(path, (spool_of(path),))
            recorder = Recorder(folder, process, run_id)
            found = folder.load(recorder.state, set_aside=True)
            if found.damaged:
                recorder.trouble(f"{path}: the log was damaged and is kept beside: {found.damaged}")
            output = self.outputs[path] = Output(recorder, folder, current().ui_url)
            if found.damaged:
                output.mend()
        self._at_exit()
        self._leave_limbo(output)
        return output

    def _leave_limbo(self, output: Output) -> None:
        """What happened before there was a place is not forgotten."""
        limbo = self.limbo
        if not limbo.waiting:
            return
        with limbo.lock:
            self.limbo = Recorder(None, DEFAULT_PROCESS, DEFAULT_RUN)
            lines = [line for many in limbo.waiting.values() for line in many]
        output.recorder.take_over(lines, limbo.pictures)

    def _at_exit(self) -> None:
        """Complete the documents when a child of multiprocessing ends, too: those skip atexit."""
        if self._children_exit == os.getpid():
            return
        self._children_exit = os.getpid()
        util = sys.modules.get("multiprocessing.util")
        process = sys.modules.get("multiprocessing.process")
        if util is not None and process is not None and process.parent_process() is not None:
            util.Finalize(None, finish, exitpriority=10)

    # --- fork ---------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        self.lock.acquire()
        self.limbo.lock.acquire()
        for output in self.outputs.values():
            output.recorder.lock.acquire()
        self._sizes = {path: output.recorder.own_sizes() for path, output in self.outputs.items()}

    def after_fork_in_parent(self) -> None:
        for output in self.outputs.values():
            output.recorder.lock.release()
        self.limbo.lock.release()
        self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock = threading.RLock()
        self.limbo.lock = threading.RLock()
        for path, output in self.outputs.items():
            output.recorder.forked(self._sizes[path])
            output.forked()
        self.forget()  # so that each is opened once more, and completed when this child ends


tracing = _Tracing()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=tracing.before_fork,
        after_in_parent=tracing.after_fork_in_parent,
        after_in_child=tracing.after_fork_in_child,
    )


def spool_of(path: Path) -> Path:
    """Where this host keeps what could not be written to a run's folder."""
    tag = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return current().spool / "records" / tag


def _path_of(place: Place | None, run: RunContext | None, process: str, run_id: str) -> Path:
    if place is not None:
        return place.base / part_of(place.base, process) / part_of(place.base / part_of(place.base, process), run_id)
    assert run is not None
    root = run.archive.store.local_root
    if root is None:
        return Path(run.archive.spool) / "records" / safe_part(process) / safe_part(run_id)
    return Path(root) / records_prefix(process, run_id)


def part_of(parent: Path, name: str) -> str:
    """`name` as a folder's name; as it is where such a folder is there already, from before this package."""
    safe = safe_part(name)
    if safe == name or any(c in name for c in "/\\\0") or name in {"", ".", ".."}:
        return safe
    return name if (parent / name).is_dir() and not (parent / safe).is_dir() else safe


def finish() -> None:
    """Complete every document of this process. Never raises."""
    for output in list(tracing.outputs.values()):
        output.finish()


atexit.register(finish)


# --- the public functions ---------------------------------------------------------------------------------


def configure_records_tracing(
    folder_path: str | os.PathLike[str] = "temp/Records",
    process_name: str | None = None,
    run_id: str | None = None,
) -> None:
    """Say where records are kept: `{folder_path}/{process_name}/{run_id}/`.

    A history that is there already is gone on with. Records that were made before are taken along.

    Args:
        folder_path: a folder; it is made when the first record comes.
        process_name: inside a tracked flow the flow's name, else one fixed name, where left out.
        run_id: inside a tracked flow the flow run's id, else one fixed name, where left out.
    """
    base = Path(os.path.abspath(os.path.expanduser(os.fspath(folder_path))))
    with tracing.lock:
        tracing.place = Place(base, process_name, run_id)
        tracing.forget()
    tracing.output()


def configure_record_tracing(
    folder_path: str | os.PathLike[str] = "temp/Records",
    process_name: str | None = None,
    run_id: str | None = None,
) -> None:
    """The name by which T-Record's own text calls `configure_records_tracing` once."""
    configure_records_tracing(folder_path, process_name, run_id)


def dump_records() -> None:
    """Write `records_logs.json`, and the first time `records_report.html`.

    When it returns the JSON is whole and holds every trace; above 20 MB it, and the page always, may be up to two
    seconds behind. Nothing depends on it: what happened is in the journal before, and both files are completed when
    the program ends.
    """
    output = tracing.output()
    if output is None:
        logger.warning("records are not dumped: call configure_records_tracing(folder) first")
        return
    output.dump()


def save_records_to_html(file_path: str | os.PathLike[str] = "records.html") -> None:
    """Write the page of all records, pictures inside, to a file of its own."""
    _to_file(file_path, "the page of records", save_page)


def pack_sharable_zip(file_path: str | os.PathLike[str] = "records.zip") -> None:
    """Pack page, log and pictures into one archive that opens anywhere."""
    _to_file(file_path, "the archive of records", pack)


def dump_records_html(file_path: str | os.PathLike[str] = "records.html") -> None:
    """Deprecated: use `save_records_to_html`."""
    warnings.warn("dump_records_html is deprecated, use save_records_to_html", DeprecationWarning, stacklevel=2)
    save_records_to_html(file_path)


def _to_file(file_path: str | os.PathLike[str], what: str, write: object) -> None:
    output = tracing.output()
    if output is None:
        logger.warning("%s is not written: call configure_records_tracing(folder) first", what)
        return
    target = Path(os.path.abspath(os.path.expanduser(os.fspath(file_path))))
    try:
        write(output, target)  # type: ignore[operator]
    except Exception as exc:  # noqa: BLE001 - the flow goes on without it
        output.recorder.trouble(f"{what} could not be written to {target}: {exc}")
