"""Where in the code something was logged: at most five frames, found without reading any source file."""

from __future__ import annotations

import contextlib
import os
import site
import sys
import sysconfig
from types import CodeType, FrameType

FRAMES = 5
_VISITED = 40
"""Frames looked at in all: below that depth nobody looks for the place."""

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_names: dict[int, tuple[CodeType, str, str, bool, bool]] = {}
"""By the code object's id, since hashing the object itself costs more than all the rest; it is kept alive here."""
_lines: dict[tuple[int, int], str] = {}
"""By the code object's id and the instruction: finding the number of a line costs more than remembering it."""


def _library_folders() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    with contextlib.suppress(AttributeError):  # some embedded interpreters have no site-packages
        paths |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(p + os.sep for p in paths if p)


_LIBRARIES = _library_folders()


def _name(code: CodeType) -> tuple[CodeType, str, str, bool, bool]:
    """The code object, its file, its function, whether it is this package's own, and whether a library's."""
    path = code.co_filename
    function = "" if code.co_name == "<module>" else f" ({code.co_name})"
    library = path.startswith("<frozen") or os.path.abspath(path).startswith(_LIBRARIES)
    if len(_names) > 10_000:  # code objects made at run time without end must not fill the memory
        _names.clear()
        _lines.clear()
    found = (code, f"{os.path.basename(path)}:", function, path.startswith(_OWN), library)
    _names[id(code)] = found
    return found


def here(depth: int = 1) -> str:
    """The user's own frames above the caller, outermost first, one a line: `file.py:12 (function)`.

    Libraries' frames are left out, except where there are no others.

    Args:
        depth: how many frames above this function to begin with.
    """
    frame: FrameType | None = sys._getframe(depth)  # noqa: SLF001 - costs the same at any depth
    lines: list[str] = []
    others: list[str] = []
    left = _VISITED
    while frame is not None and left:
        left -= 1
        code = frame.f_code
        number = id(code)
        found = _names.get(number) or _name(code)
        if not found[3]:
            if not found[4]:
                lines.append(_lines.get((number, frame.f_lasti)) or _line(frame, number, found))
                if len(lines) == FRAMES:
                    break
            elif not lines and len(others) < FRAMES:
                others.append(_line(frame, number, found))
        frame = frame.f_back
    lines = lines or others
    lines.reverse()
    return "\n".join(lines)


def _line(frame: FrameType, number: int, found: tuple[CodeType, str, str, bool, bool]) -> str:
    line = f"{found[1]}{frame.f_lineno}{found[2]}"
    if len(_lines) < 10_000:
        _lines[number, frame.f_lasti] = line
    return line
