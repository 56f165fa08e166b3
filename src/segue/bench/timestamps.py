"""Records when each task body ran: one small record for each, appended to a file of its process.

All processes of a machine share the monotonic clock. So latencies and rates of any system can be computed from records
taken at the same place: inside the task. Writing one costs about a microsecond.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

FOLDER_VARIABLE = "SEGUE_BENCH_MARKS"
_RECORD = struct.Struct("<qqdd")
_LOOK_SECONDS = 0.005

_descriptors: dict[int, int] = {}  # by process: a forked process must not write to its parent's file


def mark(run: int, node: int) -> int:
    """The body of every measured task: does nothing, and records when. Returns a small number."""
    begun = time.monotonic()
    pid = os.getpid()
    descriptor = _descriptors.get(pid)
    if descriptor is None:
        path = f"{os.environ[FOLDER_VARIABLE]}/{pid}.marks"
        descriptor = _descriptors[pid] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.write(descriptor, _RECORD.pack(run, node, begun, time.monotonic()))
    return node % 10


@dataclass(frozen=True, slots=True)
class Mark:
    """One execution of one node."""

    node: int
    begun: float
    ended: float


class MeasureError(Exception):
    """A measurement is invalid: it took too long, or tasks ran twice or in the wrong order."""


class Ledger:
    """Reads the marks of all processes as they arrive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_bytes: dict[str, int] = {}
        self._runs: dict[int, list[Mark]] = {}
        self._closed: set[int] = set()  # runs with all their marks

    def wait(self, run: int, count: int, *, timeout_seconds: float) -> list[Mark]:
        """The marks of `count` nodes of `run`, by number. Raises MeasureError if one is missing or repeated."""
        deadline = time.monotonic() + timeout_seconds
        while len(self._runs.get(run, ())) < count:
            if self._size() >= (count - len(self._runs.get(run, ()))) * _RECORD.size:
                self._take()
            elif time.monotonic() > deadline:
                self._take()
                seen = len(self._runs.get(run, ()))
                if seen < count:
                    raise MeasureError(f"{seen:,} of {count:,} tasks had run after {timeout_seconds:g} s")
            time.sleep(_LOOK_SECONDS)
        self._closed.add(run)
        return checked(self._runs.pop(run), count)

    def _size(self) -> int:
        """How many bytes have not been read yet."""
        with os.scandir(self._folder) as entries:
            return sum(entry.stat().st_size - self._read_bytes.get(entry.name, 0) for entry in entries)

    def _take(self) -> None:
        for name, data in self._news():
            whole = len(data) // _RECORD.size * _RECORD.size
            self._read_bytes[name] = self._read_bytes.get(name, 0) + whole
            for run, node, begun, ended in _RECORD.iter_unpack(data[:whole]):
                if run in self._closed:
                    raise MeasureError(f"node {node} of an earlier measurement ran once more")
                self._runs.setdefault(run, []).append(Mark(node, begun, ended))

    def _news(self) -> Iterator[tuple[str, bytes]]:
        for path in sorted(self._folder.iterdir()):
            with path.open("rb") as file:
                file.seek(self._read_bytes.get(path.name, 0))
                yield path.name, file.read()


def checked(marks: Sequence[Mark], count: int) -> list[Mark]:
    """The marks by node. Raises MeasureError unless each of the nodes 0 to count - 1 ran exactly once."""
    by_node = sorted(marks, key=lambda mark: mark.node)
    if [mark.node for mark in by_node] != list(range(count)):
        nodes = {mark.node for mark in by_node}
        raise MeasureError(
            f"{count:,} nodes were to run once each; {count - len(nodes & set(range(count))):,} did not run and "
            f"{len(by_node) - len(nodes):,} executions were repetitions"
        )
    return by_node


def check_chain(marks: Sequence[Mark]) -> None:
    """Check that each began after the previous one had ended."""
    for before, after in pairwise(marks):
        check_order(before, after)


def check_fan(marks: Sequence[Mark]) -> None:
    """Check that the first ended before any other began, and the last began after all others had ended."""
    first, *members, last = marks
    for member in members:
        check_order(first, member)
        check_order(member, last)


def check_order(before: Mark, after: Mark) -> None:
    """Raise MeasureError if `after` began too early."""
    if after.begun < before.ended:
        raise MeasureError(f"node {after.node} began before node {before.node}, which it depends on, had ended")
