"""Is the process that wrote something still alive? A pid alone can't tell: it is used again."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from pathlib import Path


@functools.lru_cache(maxsize=1)
def host_name() -> str:
    """This host's name, as events carry it."""
    return socket.gethostname() or "localhost"


_FIRST_NAMESPACE = "pid:[4026531836]"
"""The host's own, on every Linux: PROC_PID_INIT_INO in the kernel's include/linux/proc_ns.h."""


@functools.lru_cache(maxsize=1)
def boot_id() -> str:
    """What tells this boot of this host from every other, and behind a slash the machine; "" where nothing tells.

    Machines may have one name (a container's, an image's), so that another boot alone does not mean a restart.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    machine = _machine()
    return f"{boot}/{machine}" if machine else boot


def _machine() -> str:
    """What tells this machine from every other across its boots; "" in a container, which has what its image has."""
    if pid_namespace() != _FIRST_NAMESPACE:
        return ""
    try:
        name = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    # machine-id(5): it is to be kept from others, and hashed where they are to see it
    return hashlib.sha256(f"prefect-trackrecord {name}".encode()).hexdigest()[:12] if name else ""


def pid_namespace() -> str:
    """Which pids this process means by its numbers, a container's or the host's; "" where the system does not tell.

    Containers may share a host's name, and share its boot id always. Not kept: a process may enter another one.
    """
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 where unknown or gone.

    Source: field 22 of /proc/<pid>/stat, proc(5); the command's name, field 2, may itself hold spaces and
    brackets, so fields are counted from its last closing bracket.
    """
    stat = _stat(pid)
    return 0 if stat is None else _ticks_in(stat)


def _ticks_in(stat: bytes) -> int:
    rest = stat[stat.rfind(b")") + 2 :].split()
    if rest[:1] == [b"Z"]:  # a zombie does nothing any more
        return 0
    return int(rest[19]) if len(rest) > 19 else 0


def _stat(pid: int) -> bytes | None:
    """What the system tells of a process; None where it is gone, or hidden as another user's (proc(5), hidepid)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None


def is_alive(host: str, boot: str, pid: int, ticks: int, namespace: str = "") -> bool | None:
    """Whether that process runs: True, False, or None where this host can't tell.

    Args:
        host: the name of the host it ran on.
        boot: its `boot_id` then.
        pid: its process id.
        ticks: its start time as `start_ticks` gave it; 0 where that was unknown.
        namespace: its `pid_namespace`; "" where that was unknown.
    """
    if host != host_name():
        return None
    if boot and boot_id() and boot != boot_id():
        machine, ours = boot.partition("/")[2], boot_id().partition("/")[2]
        return False if machine and machine == ours else None  # it started anew, or is another of this name
    if namespace and (ours := pid_namespace()) and namespace != ours:
        return None  # another container's pids, of which this one sees nothing
    if start_ticks(os.getpid()):  # this system tells when a process started
        if (stat := _stat(pid)) is not None:
            return (now := _ticks_in(stat)) != 0 and ticks in (0, now)
        return None if _has(pid) else False  # it is hidden: whether it is that one, or one that has its pid now
    return _has(pid)


def _has(pid: int) -> bool | None:
    """Whether there is a process of that number, as far as signals tell."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OSError:
        return None
    return True
