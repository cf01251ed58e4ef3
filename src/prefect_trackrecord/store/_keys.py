"""Keys of a store: what a key may look like, and the few things that every store does with one."""

from __future__ import annotations

import re

# What `_check` finds, part for part, in one look: keys are checked a hundred thousand at a time.
_WRONG = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]|//|(?:^|/)\.|^/|/$|^$")

_START = frozenset(("", "/", "."))


def check_key(key: str) -> str:
    """Refuse a key that could leave the store, or that could not be listed again.

    Parts that start with a dot are refused too: a folder on disk keeps its locks and temporary files
    under such names and leaves them out of listings.

    Raises:
        ValueError: the key is no relative path of plain parts.
    """
    if not isinstance(key, str) or not key:
        raise ValueError(f"not a key: {key!r}; a key is a relative path such as 'run_metadata/2025/01/20/x.json'")
    if not is_plain(key):
        _check(key)
    return key


def check_prefix(prefix: str) -> str:
    """Like `check_key` for the start of keys; "" (everything) is allowed, a trailing slash dropped."""
    if len(prefix) > 1:
        prefix = prefix.removesuffix("/")
    if prefix:
        _check(prefix)
    return prefix


def _check(key: str) -> None:
    if any(ord(char) < 32 or ord(char) == 127 for char in key):
        raise ValueError(f"not a key: {key!r} holds a control character")
    if "\\" in key:
        raise ValueError(f"not a key: {key!r} holds a backslash; parts are joined by '/'")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"not a key: {key!r} is no valid Unicode") from None
    for part in key.split("/"):
        if not part:
            raise ValueError(f"not a key: {key!r} is absolute or has an empty part")
        if part.startswith("."):
            raise ValueError(f"not a key: {key!r} has a part that starts with a dot")


def is_plain(key: str) -> bool:
    """Whether `check_key` would let a listed key pass; foreign files in a store need not be so."""
    if key.isascii() and key.isprintable() and key[:1] not in _START and key[-1:] != "/":
        return "/." not in key and "//" not in key and "\\" not in key  # an eighth of the expression's time
    return not _WRONG.search(key)


def below(prefix: str) -> str:
    """What the keys under `prefix` start with."""
    return f"{prefix}/" if prefix else ""


def plain_etag(etag: object) -> str:
    """An etag without quotes and weakness mark: services write the same one both ways."""
    return str(etag or "").removeprefix("W/").strip('"')
