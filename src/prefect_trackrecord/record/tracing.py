"""Which run a record belongs to right now, and the functions that a program calls about all of its records.

A program says once where records go. Which folder below it is asked for at each event, since one process may be in
several runs: inside a tracked flow the run is known, outside there is one fixed folder.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.journal.context import carried, carry, current_run, inside_flow
from prefect_trackrecord.record import page_model
from prefect_trackrecord.record.archive_zip import pack, save_page
from prefect_trackrecord.record.folder import RunFolder
from prefect_trackrecord.record.output import Output
from prefect_trackrecord.record.places import DEFAULT_PROCESS, DEFAULT_RUN, Located, Place, locate
from prefect_trackrecord.record.publish import Publisher
from prefect_trackrecord.record.recorder import Recorder
from prefect_trackrecord.settings import current

logger = logging.getLogger("prefect_trackrecord")
_CARRIED = "records"


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
        if run is not None and self.place is not None and not inside_flow():
            run = None  # a program that says itself where records go has its own names for them
        if run is None:
            if self.fixed is None and self.place is not None:
                self.fixed = self.open(locate(self.place, None))
            return self.fixed
        found = self.of_run.get(run.run_id)
        if found is None:
            place = self.place
            if place is None and (told := carried(_CARRIED)) is not None:
                place = Place.of(*told)  # the flow said so, in its own process
            found = self.of_run[run.run_id] = self.open(locate(place, run))
        return found

    def recorder(self) -> Recorder:
        """The recorder of the run that this code is in."""
        output = self.output()
        return output.recorder if output is not None else self.limbo

    def forget(self) -> None:
        """Let each run's folder be chosen once more."""
        self.fixed = None
        self.of_run.clear()

    def drop(self, output: Output) -> None:
        """A run is over: what comes after opens it anew."""
        with self.lock:
            self.outputs = {path: o for path, o in self.outputs.items() if o is not output}
            self.forget()

    @contextlib.contextmanager
    def alone(self, output: Output) -> Iterator[bool]:
        """Whether no other output of this process has its folder; none is opened meanwhile."""
        with self.lock:
            yield self.outputs.get(output.folder.path, output) is output

    def open(self, located: Located) -> Output:
        """The documents of a run in this process; its history is read the first time."""
        with self.lock:
            output = self.outputs.get(located.path)
            if output is None or output.recorder.gone():
                self._leave_idle()
                output = self.outputs[located.path] = _opened(located)
            self._at_exit()
            self._leave_limbo(output)
            return output

    def _leave_idle(self) -> None:
        """A worker that lives long does not keep the records of all runs that it had a part in."""
        idle = [o for o in self.outputs.values() if o is not self.fixed and o.recorder.is_idle()]
        for output in idle:
            self.drop(output)
            threading.Thread(target=_retire, args=(output,), name="trackrecord-records", daemon=True).start()

    def _leave_limbo(self, output: Output) -> None:
        """What happened before there was a place is not forgotten."""
        limbo = self.limbo
        with limbo.lock:  # also of an empty one: a thread may be about to begin a record in it
            self.limbo = Recorder(None, DEFAULT_PROCESS, DEFAULT_RUN)
            limbo.successor = output.recorder
        limbo.waiting.hand_over(output.recorder.put_back)
        if limbo.waiting.lines:
            output.recorder.take_over(limbo.waiting.lines)

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
        page_model.loading.acquire()
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
        page_model.loading.release()

    def after_fork_in_child(self) -> None:
        page_model.loading = threading.RLock()
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


def _opened(located: Located) -> Output:
    folder = RunFolder(located.path, (located.spool,) if located.spool else ())
    recorder = Recorder(folder, located.process, located.run_id)
    folder.bring_home()
    found = folder.load(recorder.state, set_aside=True)
    publisher = Publisher(located.store, located.prefix) if located.store else None
    output = Output(recorder, folder, current().ui_url, publisher)
    if found.damaged or found.beyond:
        recorder.version += 1  # the documents lag behind already
    if found.damaged:
        recorder.trouble(f"{located.path}: the log was damaged and is kept beside: {found.damaged}")
        output.mend()
    return output


def _retire(output: Output) -> None:
    """Let go of a run that went on elsewhere, or is over: its end makes the documents, from the journal."""
    output.recorder.close()
    if output.publisher is not None and output.send():
        with contextlib.suppress(StoreError):
            output.publisher.leave(output, tracing.alone(output))


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

    A history that is there already is gone on with. Records that were made before are taken along. Called in a flow,
    it holds for the flow's tasks, too, in whatever process they run.

    Args:
        folder_path: a folder, made when the first record comes; or a URL such as `s3://bucket/records`.
        process_name: inside a tracked flow the flow's name, else one fixed name, where left out.
        run_id: inside a tracked flow the flow run's id, else one fixed name, where left out.

    Raises:
        StorageUrlError, MissingDriverError: the URL can't be opened.
    """
    place = Place.of(folder_path, process_name, run_id)
    with tracing.lock:
        tracing.place = place
        tracing.forget()
    text = os.fspath(folder_path)
    carry(_CARRIED, (text if place.folder is None else str(place.folder), process_name, run_id))
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
    output = _output("records are not dumped")
    if output is None:
        return
    output.dump()
    if output is tracing.fixed:  # a flow's records go to its bucket when it ends
        output.publish()


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


def _output(what: str) -> Output | None:
    """The documents in use; where there are none, a warning says what that costs."""
    try:
        output = tracing.output()
    except Exception as exc:  # noqa: BLE001 - the flow goes on without it
        tracing.limbo.trouble(f"{what}: {type(exc).__name__}: {exc}")
        return None
    if output is None:
        logger.warning("%s: call configure_records_tracing(folder) first", what)
    return output


def _to_file(file_path: str | os.PathLike[str], what: str, write: Callable[[Output, Path], None]) -> None:
    output = _output(f"{what} is not written")
    if output is None:
        return
    target = Path(os.path.abspath(os.path.expanduser(os.fspath(file_path))))
    try:
        os.makedirs(target.parent, exist_ok=True)
        write(output, target)
        output.publish()
    except Exception as exc:  # noqa: BLE001 - the flow goes on without it
        output.recorder.trouble(f"{what} could not be written to {target}: {exc}")
