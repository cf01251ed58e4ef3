"""What people send around: the page as one file, and the archive of page, log and pictures, written as a stream."""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

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


def save_page(records: Records, target: Path) -> None:
    """Write the page, everything inside, to `target`.

    Raises:
        OSError: it can't be written; an older one stays.
    """
    os.makedirs(target.parent, exist_ok=True)
    replace_file(target, lambda fd: write_all(fd, records.page()))


def pack(records: Records, target: Path) -> None:
    """Write the archive of a run's records to `target`. Memory stays bounded whatever the pictures' sizes.

    Names inside are made by this package alone, so none can point outside of the folder it is unpacked to.

    Raises:
        OSError: it can't be written; an older one stays.
    """
    os.makedirs(target.parent, exist_ok=True)
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(6)}")
    try:
        with zipfile.ZipFile(temporary, "x", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            with archive.open(PAGE, "w", force_zip64=True) as member:
                for piece in records.page():
                    member.write(piece)
            with archive.open(document.NAME, "w", force_zip64=True) as member:
                for piece in document.compose(records.parts(), {}):
                    member.write(piece)
            for name, picture in records.pictures():
                _add(archive, name, picture)
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


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
