"""Pictures of traces: copied at once under `images/`, named by what is in them, never by what they were called.

Two different pictures never share a name, and the same one is kept once. What is no picture by its bytes is not kept: a
path may come from data, and the folder is what people pass around. What can't be kept is said in the trace.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_trackrecord.journal.plain import clean, text_of

FOLDER = "images"
_BLOCK = 1 << 20
_HEAD = 4096
_MAX_SVG = 16 << 20

_NOT_IN_PNG = frozenset(("CMYK", "HSV", "LAB", "YCbCr"))

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\x00\x00\x01\x00", "ico"),
    (b"%PDF-", "pdf"),
)


def suffix_of(head: bytes) -> str:
    """The file type that the first bytes say; empty for what is no picture that is known."""
    for magic, suffix in _MAGIC:
        if head.startswith(magic):
            return suffix
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "bmp"
    if head[4:8] == b"ftyp":
        return {b"avif": "avif", b"avis": "avif", b"heic": "heic", b"heix": "heic"}.get(head[8:12], "")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower()
    return "svg" if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in head) else ""


_ACTIVE = re.compile(
    rb"""<\s*(?:\w+:)?(?:script|foreignobject|iframe|object|embed|handler|listener)\b|[\s/"']on[a-z]{1,40}\s*=|javascript:"""
    rb"""|<!entity|<\?xml-stylesheet|@import|attributename\s*=\s*["'](?:xlink:)?href|href\s*=\s*["']?\s*(?!["'#]|data:image/)"""
    rb"""(?!https?://)|url\(\s*["']?\s*(?!["'#\s]|data:)""",
    re.IGNORECASE,
)


def _refused(suffix: str, whole: Callable[[], bytes]) -> str:
    """Why a picture is not kept, by its type, and of an SVG by all of it; empty where it is."""
    if not suffix:
        return "its bytes are of no picture type that is known; it is not kept"
    if suffix != "svg":
        return ""
    data = whole()
    if len(data) > _MAX_SVG or _ACTIVE.search(data):
        return "the SVG has scripts, links or more than 16 MB; it is not kept"
    return ""


@dataclass(frozen=True)
class Kept:
    """What became of a picture.

    Attributes:
        name: `images/<name>` of the unchanged copy; empty where there is none.
        trouble: what is wrong with it, in words; empty where nothing is.
    """

    name: str
    trouble: str = ""


def keep(image: Any, folder: Path | None, memory: Callable[[str, bytes], bool] | None = None) -> Kept:
    """Copy a picture under `<folder>/images`. Never raises.

    Args:
        image: a path, bytes, an open file, or anything with `savefig` (a figure) or `save` (a Pillow image).
        folder: the run's folder; None while there is none yet.
        memory: takes name and bytes where `folder` is None; False when it has no room.
    """
    try:
        if isinstance(image, str | os.PathLike):
            return _from_path(Path(os.fspath(image)), folder, memory)
        data = _bytes_of(image)
        if not data:
            return Kept("", "the picture is empty")
        suffix = suffix_of(data[:_HEAD])
        if why := _refused(suffix, lambda: data):
            return Kept("", why)
        name = _name(hashlib.sha256(data), suffix)
        if folder is None:
            kept = memory is not None and memory(name, data)
            return Kept(name) if kept else Kept("", "no room left for it before tracing is configured")
        target = folder / name
        if not target.exists():
            _write(target, data)
        return Kept(name)
    except Exception as exc:  # noqa: BLE001 - a picture is never worth the flow that took it
        return Kept("", clean(f"{_told(image)}: {_cause(exc)}"))


def put_back(folder: Path, name: str, data: bytes) -> None:
    """Write a picture that waited in memory.

    Raises:
        OSError: it can't be written.
    """
    target = folder / name
    if not target.exists():
        _write(target, data)


def _from_path(path: Path, folder: Path | None, memory: Callable[[str, bytes], bool] | None) -> Kept:
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe or a device would never end
        return Kept("", f"{_told(path)}: this is no file")
    with open(path, "rb") as source:
        head = source.read(_HEAD)
        suffix = suffix_of(head)
        if not head:
            return Kept("", f"{_told(path)}: the file is empty")
        if why := _refused(suffix, lambda: head + source.read(_MAX_SVG)):
            return Kept("", f"{_told(path)}: {why}")
        source.seek(0)
        if folder is None:
            return keep(source.read(), None, memory)
        temporary = _beside(folder / FOLDER)
        digest = hashlib.sha256()
        try:
            with open(temporary, "xb") as copy:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    copy.write(block)
            name = _name(digest, suffix)
            os.replace(temporary, folder / name)
            return Kept(name)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _bytes_of(image: Any) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, io.BufferedIOBase | io.RawIOBase):
        return _whole(image)
    if hasattr(image, "savefig"):
        return _saved(image.savefig, "png")
    if not hasattr(image, "save"):
        raise TypeError("a picture must be a path, bytes, an open file, or an object with savefig or save")
    if getattr(image, "mode", None) in _NOT_IN_PNG:
        image = image.convert("RGB")
    try:
        return _saved(image.save, "PNG")
    except OSError:  # what PNG can't hold, such as floating point
        return _saved(image.save, "TIFF")


def _saved(save: Callable[..., Any], kind: str) -> bytes:
    buffer = io.BytesIO()
    try:
        save(buffer, format=kind)
        return buffer.getvalue()
    except TypeError as told:  # one that takes a path, and nothing else
        with tempfile.TemporaryDirectory(prefix="trackrecord-") as folder:
            path = Path(folder, "picture.png")
            try:
                save(str(path))
                return path.read_bytes()
            except Exception:  # noqa: BLE001 - anybody's code; the first one's words say more
                raise told from None


def _whole(file: Any) -> bytes:
    """An open file from its beginning, wherever its reader stands; it is left there."""
    at = file.tell()  # raises for a pipe, which might never end
    file.seek(0)
    try:
        return bytes(file.read())
    finally:
        file.seek(at)


def _name(digest: Any, suffix: str) -> str:
    return f"{FOLDER}/{digest.hexdigest()[:32]}.{suffix}"


def _write(target: Path, data: bytes) -> None:
    temporary = _beside(target.parent)
    try:
        with open(temporary, "xb") as copy:
            copy.write(data)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _beside(folder: Path) -> Path:
    os.makedirs(folder, exist_ok=True)
    return folder / f".tmp-{os.getpid()}-{secrets.token_hex(6)}"


def _told(image: Any) -> str:
    return text_of(os.fspath(image), 200) if isinstance(image, str | os.PathLike) else type(image).__name__


def _cause(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror.lower()
    return f"{type(exc).__name__}: {exc}"
