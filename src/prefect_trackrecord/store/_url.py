"""Storage URLs: what a person may type, checked without connecting anywhere."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from prefect_trackrecord.errors import MissingDriverError, StorageUrlError

_PROTOCOL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_MISTYPED = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9]+):/?(?P<rest>[^/\\].*)?$", re.DOTALL)

# What people write, and the protocol that we call it by. fsspec does not know `azure`.
_ALIASES = {
    "local": "file",
    "s3a": "s3",
    "gcs": "gs",
    "azure": "abfs",
    "az": "abfs",
    "abfss": "abfs",
    "ssh": "sftp",
}
_BUCKETS = {"s3": "bucket", "abfs": "container", "gs": "bucket"}
_EXTRAS = {"s3": ("s3", "s3fs"), "abfs": ("azure", "adlfs"), "gs": ("gcs", "gcsfs")}
_SHORT = {"file", "memory", "sftp", "ftp", "smb", "hdfs", "webdav", *_BUCKETS, *_ALIASES}

_WELL_KNOWN = sorted({*_SHORT, "box", "dropbox", "gdrive", "hf", "oci", "oss", "webdav"})

# What fsspec can open, but no history can be kept in.
_UNFIT = {
    "adl": "Azure Data Lake Gen1 was retired; use abfs://container/path",
    **dict.fromkeys(("http", "https", "data", "github", "git", "gist"), "it can only be read"),
    **dict.fromkeys(("zip", "tar", "libarchive", "reference"), "an archive can't be written by many"),
    **dict.fromkeys(
        ("cached", "blockcache", "filecache", "simplecache", "dir", "generic", "async_wrapper", "asyncwrapper"),
        "name the store itself; a wrapped filesystem can be handed over as `filesystem=`",
    ),
}


@dataclass(frozen=True)
class StoreUrl:
    """A storage URL taken apart.

    Attributes:
        protocol: `file`, `memory`, `s3`, `abfs`, `gs`, or another name that fsspec knows.
        path: an absolute path for `file`; else what stands after `://`, without slashes at its ends.
        canonical: for people and for comparing: no aliases, no credentials, no query.
        connect: what the driver is given; it may hold a user's name and password. Never shown.
    """

    protocol: str
    path: str
    canonical: str
    connect: str = ""

    def __repr__(self) -> str:
        return f"StoreUrl({self.canonical!r})"


def parse_url(url: str | Path) -> StoreUrl:
    """Take a local path or a URL apart; `~` is expanded and a local path made absolute.

    Raises:
        StorageUrlError: it can't be parsed; the message says what to type instead.
    """
    text = os.fspath(url)
    if not text.strip():
        raise StorageUrlError("the storage URL is empty; give a folder or a URL such as s3://bucket/path")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise StorageUrlError(f"the storage URL holds a control character: {shown(text)!r}")
    if isinstance(url, Path):
        return _local(text)
    text = text.strip()
    if text[:6].lower() == "file:/" and text[5:7] != "//":
        return _local(unquote(text[5:]))
    if "::" in text and "://" in text:
        raise StorageUrlError(f"{shown(text)} chains filesystems; name the store itself")
    match = _PROTOCOL.fullmatch(text)
    if match is None:
        return _local(_refuse_mistyped(text))
    written = match["protocol"].lower()
    protocol, rest = _ALIASES.get(written, written), match["rest"]
    if protocol in _UNFIT:
        raise StorageUrlError(f"{written}:// can't hold a history: {_UNFIT[protocol]}")
    if protocol == "file":
        return _local(_file_path(text, rest))
    if protocol == "memory":
        path = _clean(text, rest)
        return StoreUrl("memory", path, f"memory://{path}", f"memory://{path}")
    if protocol in _BUCKETS:
        return _bucket(protocol, written, text, rest)
    return _other(protocol, written, text, rest)


def check_url(url: str | Path) -> StoreUrl:
    """Parse `url` and see that its driver is installed; cheap enough for where a flow is defined.

    Nothing is connected to, and for a local path not even fsspec is imported.

    Raises:
        StorageUrlError: the URL can't be parsed, or nobody knows its protocol.
        MissingDriverError: its driver is not installed; the message names what to install.
    """
    parsed = parse_url(url)
    if parsed.protocol in ("file", "memory"):
        return parsed
    from prefect_trackrecord.store import _fsspec

    known = _fsspec.known_protocols()
    if parsed.protocol not in known:
        near = difflib.get_close_matches(parsed.protocol, _WELL_KNOWN, n=2, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(f'{name}://' for name in near)}?"
            if near
            else "known are, among others, s3://, abfs://, gs://, sftp://, memory:// and local paths"
        )
        raise StorageUrlError(f"unknown protocol {parsed.protocol}:// in {parsed.canonical}; {hint}")
    problem = _fsspec.driver_problem(parsed.protocol)
    if problem is not None:
        raise MissingDriverError(missing_driver(parsed.protocol, problem))
    return parsed


def missing_driver(protocol: str, problem: str) -> str:
    """The sentence that says which driver is missing and how to get it."""
    if protocol in _EXTRAS:
        extra, package = _EXTRAS[protocol]
        return (
            f"{_and_aliases(protocol)} needs the package {package}, which is not installed: "
            f'pip install "prefect-trackrecord[{extra}]"'
        )
    return f"{protocol}:// needs a driver that is not installed: {problem}"


def _and_aliases(protocol: str) -> str:
    return " and ".join(f"{name}://" for name in (protocol, *(a for a, p in _ALIASES.items() if p == protocol)))


def shown(url: str) -> str:
    """The URL as it may be shown: without a password, and without a query, which can hold a token."""
    protocol, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = rest.partition("/")
    user, at, name = host.rpartition("@")
    if at and ":" in user:
        host = name
    return f"{protocol}://{host}{slash}{path}".partition("?")[0]


def _local(path: str) -> StoreUrl:
    full = os.path.abspath(os.path.expanduser(path))
    return StoreUrl("file", full, full, full)


def _file_path(text: str, rest: str) -> str:
    host, _, path = rest.partition("/")
    if host == "~":
        return unquote(rest)
    if host not in ("", "localhost") and not re.fullmatch(r"[A-Za-z]:", host):
        raise StorageUrlError(
            f"{shown(text)}: the path of a file:// URL is absolute, with three slashes: file:///{rest}; "
            f"for a relative one write just the path"
        )
    if not path:
        raise StorageUrlError(f"{text} names no folder; write file:///folder or just the folder")
    return unquote(rest if host not in ("", "localhost") else f"/{path}")


def _refuse_mistyped(text: str) -> str:
    if "://" in text:
        raise StorageUrlError(f"{shown(text)!r} can't be parsed as a URL; write, for example, s3://bucket/path")
    match = _MISTYPED.match(text)
    if match is not None and match["protocol"].lower() in _SHORT:
        rest = (match["rest"] or "").lstrip("/")
        raise StorageUrlError(f"{shown(text)!r} is no URL; did you mean {match['protocol']}://{shown(rest)}?")
    return text


def _clean(text: str, rest: str) -> str:
    """The parts of a path in a bucket; doubled slashes are one, `..` is refused."""
    parts = [part for part in rest.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise StorageUrlError(f"{shown(text)} holds '.' or '..', which a bucket does not know")
    return "/".join(parts)


def _bucket(protocol: str, written: str, text: str, rest: str) -> StoreUrl:
    noun = _BUCKETS[protocol]
    host, _, tail = rest.partition("/")
    user, at, name = host.rpartition("@")
    if at and (protocol != "abfs" or ":" in user or "." not in name):
        raise StorageUrlError(
            f"{shown(text)}: credentials don't belong in the URL; give them as storage options, "
            f"in the block trackrecord-storage, or in the environment as the driver reads it"
        )
    if "?" in rest or "#" in rest:
        raise StorageUrlError(
            f"{shown(text)}: a query or fragment is not understood; give tokens and options as storage options"
        )
    if not host or host.isspace():
        raise StorageUrlError(f"{shown(text)} names no {noun}; write {written}://{noun}/path")
    path = "/".join(part for part in (host, _clean(text, tail)) if part)
    return StoreUrl(protocol, path, f"{protocol}://{path}", f"{protocol}://{path}")


def _other(protocol: str, written: str, text: str, rest: str) -> StoreUrl:
    path, _, query = rest.partition("?")
    path = _clean(text, path)
    if not path:
        raise StorageUrlError(f"{shown(text)} names no place; write {written}://host/path")
    host, slash, tail = path.partition("/")
    public = f"{host.rpartition('@')[2]}{slash}{tail}"
    connect = f"{protocol}://{path}" + (f"?{query}" if query else "")
    return StoreUrl(protocol, path, f"{protocol}://{public}", connect)
