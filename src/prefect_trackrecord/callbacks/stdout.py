"""StdOutCallbackHandler: a batch's progress, as a bar on a terminal, as lines elsewhere."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import TYPE_CHECKING, TextIO

from prefect_trackrecord.callbacks.handler import BatchEvent, CallbackHandler, FileEvent, key_of
from prefect_trackrecord.documents.models import FileStatus
from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.journal.masking import mask_text
from prefect_trackrecord.journal.printable import printable
from prefect_trackrecord.tracking.describing import describe

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MAX_ERROR = 300


class StdOutCallbackHandler(CallbackHandler):
    """Shows what happens in a batch.

    On a terminal that is one progress bar, with each failed file above it. Elsewhere (a pipe, a log file) it is a
    line for each file.

    Args:
        stream: where to; standard output, as it is at each call, where left out.
        every: elsewhere than on a terminal, a line for every so-manieth file only; failures always get theirs.
    """

    def __init__(self, stream: TextIO | None = None, *, every: int = 1) -> None:
        self._stream = stream
        self._every = max(1, every)
        self._lock = ProcessLock(threading.RLock)
        self._told: set[tuple[str, str, int | None]] = set()
        self._progress: Progress | None = None
        self._bars: dict[str, TaskID] = {}

    def on_batch_start(self, batch: BatchEvent) -> None:
        """Open the bar, or say how many files there are."""
        with self._lock():
            if self._is_terminal():
                progress = self._open_progress()
                self._bars[batch.batch_id] = progress.add_task("", total=batch.total_files, now="", failed="")
            elif batch.total_files is None:
                self._line("batch of files")
            else:
                self._line(f"batch of {_files(batch.total_files)}")

    def on_file_start(self, file: FileEvent) -> None:
        """Show which file it is."""
        with self._lock():
            self._told.discard(key_of(file))
            if self._progress is not None and file.batch_id in self._bars:
                name = printable(os.path.basename(mask_text(os.fspath(file.file_path))))
                self._progress.update(self._bars[file.batch_id], now=name[:40])

    def on_file_error(self, file: FileEvent) -> None:
        """Show the failure."""
        with self._lock():
            if key_of(file) not in self._told:
                self._told.add(key_of(file))
                self._show(file, FileStatus.FAILED)

    def on_file_end(self, file: FileEvent) -> None:
        """Show how it came out, unless it is the failure that was shown before."""
        status = file.status or FileStatus.SUCCESS
        with self._lock():
            if key_of(file) in self._told:
                self._told.discard(key_of(file))
                if status is FileStatus.FAILED:
                    return
            self._show(file, status)

    def on_batch_end(self, batch: BatchEvent) -> None:
        """Close the bar and give the sum."""
        with self._lock():
            self._told = {key for key in self._told if key[0] != batch.batch_id}
            bar = self._bars.pop(batch.batch_id, None)
            if self._progress is not None and bar is not None:
                self._progress.update(bar, now="")
                if not self._bars:
                    self._close_progress()
            counts = ", ".join(f"{n:,} {s.value}" for s, n in batch.counts.items() if n) or "nothing"
            self._line(f"{_files(sum(batch.counts.values()))} in {batch.duration_ms / 1000:.1f} s: {counts}")

    def _show(self, file: FileEvent, status: FileStatus) -> None:
        done, failed = file.done, file.failed
        text = printable(mask_text(os.fspath(file.file_path)))
        if file.error is not None:
            text += f": {_error(file.error)}"
        elif file.reason:
            text += f": {printable(mask_text(str(file.reason)))}"
        if self._progress is not None and file.batch_id in self._bars:
            words = f"{failed:,} failed" if failed else ""
            self._progress.update(self._bars[file.batch_id], completed=done, failed=words)
            if status is FileStatus.FAILED:
                self._progress.console.print(f"failed   {text}", markup=False, highlight=False, style="red")
        elif status is FileStatus.FAILED or done % self._every == 0 or done == file.total:
            took = "" if file.duration_ms is None else f" ({file.duration_ms:,.0f} ms)"
            of = done if file.total is None else f"{done:,}/{file.total:,}"
            self._line(f"[{of}] {status.value:<7} {text}{took}")

    def _out(self) -> TextIO | None:
        return self._stream if self._stream is not None else sys.stdout

    def _line(self, text: str) -> None:
        out = self._out()
        if out is not None:  # a process without standard output: pythonw, some services
            out.write(text + "\n")
            out.flush()

    def _is_terminal(self) -> bool:
        out = self._out()
        if out is None or not out.isatty():
            return False
        from rich.console import Console

        return not Console(file=out).is_dumb_terminal

    def _open_progress(self) -> Progress:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[failed]}", style="red", markup=False),
                TextColumn("{task.fields[now]}", style="dim", markup=False),
                console=Console(file=self._out()),
            )
            self._progress.start()
            atexit.register(self._close_progress)  # a bar that is left open leaves the terminal without its cursor
        return self._progress

    def _close_progress(self) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.stop()
            atexit.unregister(self._close_progress)


def _error(error: BaseException | str) -> str:
    name = f"{type(error).__name__}: " if isinstance(error, BaseException) else ""
    text = describe(error) if isinstance(error, BaseException) else mask_text(str(error))
    first = printable(text.strip().splitlines()[0] if text.strip() else "")
    return name + (first if len(first) <= MAX_ERROR else first[:MAX_ERROR] + "...")


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"
