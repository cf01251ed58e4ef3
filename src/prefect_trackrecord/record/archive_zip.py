"""The archive that people send around: page, log and pictures, written as a stream."""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

from prefect_trackrecord.record import document
from prefect_trackrecord.record.folder import PAGE
from prefect_trackrecord.record.output import Output

_PACKED = frozenset({".png", ".jpg", ".gif", ".webp", ".avif", ".heic"})
_BLOCK = 1 << 20


def pack(output: Output, target: Path) -> None:
    """Write the archive of a run's records to `target`. Memory stays bounded whatever the pictures' sizes.

    Names inside are made by this package alone, so none can point outside of the folder it is unpacked to.

    Raises:
        OSError: it can't be written; an older one stays.
    """
    os.makedirs(target.parent, exist_ok=True)
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(6)}")
    recorder = output.recorder
    with recorder.lock:
        recorder.follow()
        parts = recorder.state.parts()
    try:
        with zipfile.ZipFile(temporary, "x", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            with archive.open(PAGE, "w", force_zip64=True) as member:
                for piece in output.page():
                    member.write(piece)
            with archive.open(document.NAME, "w", force_zip64=True) as member:
                for piece in document.compose(parts, {}):
                    member.write(piece)
            for name, path in output.picture_paths():
                _add(archive, name, path)
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    with suppress(FileNotFoundError), open(path, "rb") as source:
        info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
        info.compress_type = zipfile.ZIP_STORED if path.suffix in _PACKED else zipfile.ZIP_DEFLATED
        with archive.open(info, "w", force_zip64=True) as member:
            shutil.copyfileobj(source, member, _BLOCK)
