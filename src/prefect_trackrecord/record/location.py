"""Where in the code something was logged: at most five frames, found without reading any source file."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from types import CodeType, FrameType

FRAMES = 5
_VISITED = 40
"""Frames looked at in all: below that depth nobody looks for the place."""

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_names: dict[CodeType, tuple[str, str, bool] | None] = {}


def _library_folders() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    try:
        paths |= {*site.getsitepackages(), site.getusersitepackages()}
    except AttributeError:  # some embedded interpreters have no site-packages
        pass
    return tuple(p + os.sep for p in paths if p)


_LIBRARIES = _library_folders()


def _name(code: CodeType) -> tuple[str, str, bool] | None:
    """File name, function and whether it is a library's; None for this package's own code."""
    path = code.co_filename
    function = "" if code.co_name == "<module>" else f" ({code.co_name})"
    library = path.startswith("<frozen") or os.path.abspath(path).startswith(_LIBRARIES)
    found = None if path.startswith(_OWN) else (f"{os.path.basename(path)}:", function, library)
    if len(_names) > 10_000:  # code objects made at run time without end must not fill the memory
        _names.clear()
    _names[code] = found
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
        try:
            name = _names[code]
        except KeyError:
            name = _name(code)
        if name is not None:
            if not name[2]:
                lines.append(f"{name[0]}{frame.f_lineno}{name[1]}")
                if len(lines) == FRAMES:
                    break
            elif not lines and len(others) < FRAMES:
                others.append(f"{name[0]}{frame.f_lineno}{name[1]}")
        frame = frame.f_back
    lines = lines or others
    lines.reverse()
    return "\n".join(lines)
