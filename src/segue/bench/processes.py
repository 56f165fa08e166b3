"""CPU time of process trees, from Linux's /proc; unknown on other systems."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def is_known() -> bool:
    """Whether this system provides it."""
    return (_PROC / "self" / "stat").exists()


def name_of(pid: int) -> str | None:
    """The name of the process; None if it does not exist here."""
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return None


def parent_of(pid: int) -> int:
    """The parent process."""
    return int(_fields(pid)[1])


def tree_cpu_seconds(root: int) -> float:
    """CPU seconds of a process, of its descendants, and of those that have ended and were waited for."""
    ticks = 0
    for pid in _tree(root):
        try:
            ticks += sum(int(field) for field in _fields(pid)[11:15])
        except OSError:
            continue  # it has just ended; its parent counts it
    return ticks / os.sysconf("SC_CLK_TCK")


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(parent_of(int(entry.name)), []).append(int(entry.name))
            except OSError:
                continue
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        left += children.get(pid, [])
    return found


def _fields(pid: int) -> list[str]:
    """The fields after the name in `stat`: state, parent ... user and system ticks, those of waited-for children."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
