"""What people send around: the page as one file, and the archive of page, log and pictures, written as a stream."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from prefect_trackrecord.record import document
from prefect_trackrecord.record.folder import PAGE, replace_file, write_all

_PACKED = frozenset({".png", ".jpg", ".gif", ".webp", ".avif", ".heic"})
_BLOCK = 1 << 20


class Records(Protocol):
    """A run's records: those of this process, or those that are kept somewhere."""

    def parts(self) -> list[bytes]:
        """The records as they stand in `records_logs.json`."""

    def page(self) -> Iterator[bytes]:
        """The page, pictures inside, part by part."""

    def pictures(self) -> Iterator[tuple[str, Path | bytes]]:
        """Every picture: its name below the run's folder, and where it lies, or what it is."""


def save_page(records: Records, target: Path | int) -> None:
    """Write the page, everything inside, to `target`: a path, or an open file's descriptor.

    Raises:
        OSError: it can't be written, or its folder is not there; an older one stays.
    """

    def write(fd: int) -> None:
        write_all(fd, records.page())

    _to_target(target, write)


def pack(records: Records, target: Path | int) -> None:
    """Write the archive of a run's records to a path, or to an open file's descriptor.

    Memory stays bounded whatever the pictures' sizes.

    Names inside are made by this package alone, so none can point outside of the folder it is unpacked to.

    Raises:
        OSError: it can't be written, or its folder is not there; an older one stays.
    """
    given = isinstance(target, int)  # and may be appended to, where what was written can't be gone back to

    def write(fd: int) -> None:
        with (
            open(fd, "wb", closefd=False) as file,
            zipfile.ZipFile(
                _as_it_is(file, goes_back=not given),
                "w",
                zipfile.ZIP_DEFLATED,
                compresslevel=6,
            ) as archive,
        ):
            with archive.open(PAGE, "w", force_zip64=True) as member:
                for piece in records.page():
                    member.write(piece)
            with archive.open(document.NAME, "w", force_zip64=True) as member:
                for piece in document.compose(records.parts(), {}):
                    member.write(piece)
            for name, picture in records.pictures():
                _add(archive, name, picture)

    _to_target(target, write)


def _as_it_is(file: BinaryIO, *, goes_back: bool) -> Any:
    """A file, or of what is none only its writing: `/dev/null` says that it stands at 0 whatever was written."""
    return file if goes_back and stat.S_ISREG(os.fstat(file.fileno()).st_mode) else _Stream(file.write, file.flush)


@dataclass(frozen=True)
class _Stream:
    write: Callable[[bytes], int]
    flush: Callable[[], None]


def _to_target(target: Path | int, write: Callable[[int], None]) -> None:
    """Replace a file; what is none, such as a pipe or a device, is written to, and what is open is written on."""
    if isinstance(target, int):
        write(target)
        return
    system = target.parts[1:2] in (("dev",), ("proc",))
    if not target.exists() or (target.is_file() and not system):
        replace_file(Path(os.path.realpath(target)), write)  # a link stays one
        return
    fd = os.open(target, os.O_WRONLY)
    try:
        write(fd)
    finally:
        os.close(fd)


def _add(archive: zipfile.ZipFile, name: str, picture: Path | bytes) -> None:
    stored = zipfile.ZIP_STORED if os.path.splitext(name)[1] in _PACKED else zipfile.ZIP_DEFLATED
    if isinstance(picture, bytes):
        archive.writestr(name, picture, stored)
        return
    with suppress(FileNotFoundError), open(picture, "rb") as source:
        info = zipfile.ZipInfo.from_file(picture, name, strict_timestamps=False)
        info.compress_type = stored
        with archive.open(info, "w", force_zip64=True) as member:
            shutil.copyfileobj(source, member, _BLOCK)
