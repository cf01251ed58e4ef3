"""Locks between processes on files: taken with a deadline, dropped by the kernel when the holder dies."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _try_lock(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextlib.contextmanager
def file_lock(
    path: str,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lock on the file at `path`, which is made where there is none and is never removed.

    Each call opens the file anew, so that the lock also parts the threads of one process. It polls instead
    of blocking: a holder that was stopped must not stop everybody else for good. A filesystem without locks
    (some network mounts) is written to without one, as any other program does there.

    Raises:
        TimeoutError: somebody else held it all of `seconds`.
        OSError: the file can't be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        end, pause, held = clock() + seconds, 0.0005, False
        while not held:
            try:
                _try_lock(fd)
                held = True
            except (BlockingIOError, PermissionError):  # PermissionError: how Windows says "held"
                if clock() >= end:
                    raise TimeoutError(f"another process held the lock {path} for {seconds:g} s") from None
                sleep(pause)
                pause = min(pause * 2, 0.02)
            except OSError as exc:
                if exc.errno not in _NO_LOCKS_HERE:
                    raise
                break
        try:
            yield
        finally:
            if held:
                # Closing alone would not do: a child forked meanwhile holds the same lock by its copy.
                _unlock(fd)
    finally:
        os.close(fd)
