"""Pictures of a page: small ones as they are, larger ones as a thumbnail, the rest as a link to the file beside.

No name is trusted: only a file name inside `images/` becomes a link, and the type comes from the bytes.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import io
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

ORIGINAL = 64 * 1024
"""A picture of at most so many bytes stands in the page as it is."""
BUDGET = 48 * 1024 * 1024
"""Bytes of pictures in one page; what comes after is a link."""
PIXELS = 400_000_000
"""Pixels that thumbnails of one page may cost to decode, all together; a tenth of it for a single one."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
_SVG = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.{0,2000}?-->\s*)*(<!DOCTYPE[^>]*>\s*)?<svg[\s>]", re.DOTALL)
_DATA_URI = re.compile(r"data:image/[a-z0-9.+-]{1,20};base64,([A-Za-z0-9+/=\s]+)\Z")


def media_type(data: bytes) -> str | None:
    """The type that a picture's bytes say it has; None for what browsers do not show."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in {b"ftypavif", b"ftypavis"}:
        return "image/avif"
    return "image/svg+xml" if _SVG.match(data[:4096]) else None


def safe_name(image: str) -> str:
    """The last part of `image`; empty where that names no file."""
    name = re.split(r"[/\\]", image)[-1]
    return "" if name in {"", ".", ".."} else name


class Pictures:
    """The pictures of one page. `pending` holds those a chunked page still has to write, `keep` says whether."""

    def __init__(self, read: Callable[[str], bytes | None] | None, *, keep: bool = False) -> None:
        self._read = read
        self._left = BUDGET
        self._pixels = PIXELS
        self._numbers: dict[str, dict[str, Any]] = {}
        self.keep = keep
        self.pending: list[tuple[int, str, str]] = []
        self.total = 0
        self.inside = 0

    def show(self, image: str, src_uri: str) -> dict[str, Any] | None:
        """What the page shows of an image.

        `name`, `href` (relative, quoted, or empty), and `src` (a data URI) or `p` (the number of the picture
        in a chunked page); `thumb` where it is reduced; `why` where it can't be shown.
        """
        if not image and not src_uri:
            return None
        self.total += 1
        key = image or src_uri[:200]
        if (known := self._numbers.get(key)) is not None:
            self.inside += "p" in known
            return known
        name = safe_name(image)
        shown: dict[str, Any] = {
            "name": name or "picture",
            "href": f"images/{quote(name, safe='')}" if name else "",
        }
        data, mime, why = self._load(name, src_uri)
        if why:
            shown["why"] = why
        else:
            shown["thumb"] = mime == "" or None
            mime = mime or "image/jpeg"
            self._left -= len(data)
            self.inside += 1
            text = base64.b64encode(data).decode("ascii")
            if self.keep:
                shown["p"] = len(self._numbers)
                self.pending.append((shown["p"], mime, text))
            else:
                shown["src"] = f"data:{mime};base64,{text}"
        shown = {k: v for k, v in shown.items() if v is not None}
        if self.keep:
            self._numbers[key] = shown
        return shown

    def _load(self, name: str, src_uri: str) -> tuple[bytes, str, str]:
        """Bytes, type (empty: a thumbnail) and the reason for having none."""
        data: bytes | None = None
        if name and self._read is not None:
            try:
                data = self._read(f"images/{name}")
            except Exception as exc:  # noqa: BLE001 - the caller's reader; its trouble is shown in the page
                return b"", "", f"could not be read: {type(exc).__name__}"
        if not data and src_uri:
            data = _decoded(src_uri)
        if not data:
            return b"", "", "empty file" if data == b"" else "not found"
        mime = media_type(data)
        if mime is None:
            return b"", "", "not a picture that browsers show"
        size = f"{len(data) / 1024:,.0f} KiB"
        if len(data) <= ORIGINAL:
            return (data, mime, "") if len(data) <= self._left else (b"", "", f"{size}, kept beside this page")
        small = self._thumbnail(data)
        if small is None or len(small) > self._left:
            return b"", "", f"{size}, kept beside this page"
        return small, "", ""

    def _thumbnail(self, data: bytes) -> bytes | None:
        """A JPEG of at most 640 x 640 made by Pillow where that is installed; None where it can't be made."""
        try:
            pillow = importlib.import_module("PIL.Image")
            with pillow.open(io.BytesIO(data)) as picture:
                pixels = picture.size[0] * picture.size[1]
                if pixels > min(self._pixels, PIXELS // 10):
                    return None
                self._pixels -= pixels
                picture.draft("RGB", (640, 640))
                small = picture if picture.mode in {"L", "RGB", "RGBA"} else picture.convert("RGBA")
                small.thumbnail((640, 640))
                # White below what is transparent, as on paper.
                layer = small.convert("RGBA")
                flat = pillow.new("RGB", layer.size, "white")
                flat.paste(layer, mask=layer.getchannel("A"))
                out = io.BytesIO()
                flat.save(out, "JPEG", quality=80)
                return out.getvalue()
        except Exception:  # noqa: BLE001 - no Pillow, or a file that it can't read: then there is a link
            return None


def _decoded(src_uri: str) -> bytes | None:
    """The bytes of the data URI that older histories keep inside their traces."""
    found = _DATA_URI.match(src_uri)
    if found is None:
        return None
    try:
        return base64.b64decode(found[1])
    except (ValueError, binascii.Error):
        return None
