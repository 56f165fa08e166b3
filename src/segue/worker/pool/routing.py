"""The output of attempts that share this process: each attempt's output goes to its own bounded tail.

While a pool runs, `sys.stdout`, `sys.stderr` and the root logger are replaced by ones that find the attempt by a
context variable, which each thread and coroutine has for itself. This is best effort: output that subprocesses and C
code write to the descriptors is not captured, and the output of threads that a task starts belongs to no attempt.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from segue.logs.printed import Printed
from segue.logs.setting import log
from segue.worker.pool.capture import TAIL_BYTES, OutputFormatter, begun_line_cut, storable


class Tail:
    """The last 16 KiB of text."""

    def __init__(self, *, echo: bool = False, printed: Printed | None = None) -> None:
        self.echo = echo  # also print it to the original stream
        self.printed = printed  # also log it
        self._parts: list[str] = []
        self._size = 0
        self._cut = 0

    def write(self, text: str) -> None:
        """Add text; the oldest text is dropped if there is too much."""
        if type(text) is not str:
            text = str.__str__(text)  # a plain copy of a subclass; TypeError if it is not a text
        self._parts.append(text)
        self._size += len(text)
        if self._size > 4 * TAIL_BYTES:
            self._shorten()

    def text(self) -> str:
        """The kept text, and how much was cut."""
        self._shorten()
        kept = storable("".join(self._parts))
        return f"[... {self._cut} characters cut]\n{kept}" if self._cut else kept

    def so_far(self) -> str:
        """The same for another thread, while text is added."""
        parts = tuple(self._parts)
        whole = "".join(parts)
        cut = self._cut + max(len(whole) - TAIL_BYTES, 0)
        kept = storable(whole[-TAIL_BYTES:])
        return begun_line_cut(f"[... {cut} characters cut]\n{kept}") if cut else kept

    def _shorten(self) -> None:
        whole = "".join(self._parts)
        kept = whole[-TAIL_BYTES:]
        self._cut += len(whole) - len(kept)
        self._parts = [kept]
        self._size = len(kept)


_tail: ContextVar[Tail | None] = ContextVar("segue_output", default=None)


_STREAMS = ("stdout", "stderr")


class _Router:
    """Takes the place of a text stream."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream  # None if there is none, as after `del sys.stdout`

    def write(self, text: str) -> int:
        tail = _tail.get()
        if tail is not None:
            tail.write(text)
            if tail.printed is not None:
                tail.printed.add(text)
            if not tail.echo:
                return len(text)
        return len(text) if self.stream is None else self.stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self.stream is not None:
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tail = _tail.get()
        if tail is not None:
            try:
                tail.write(self.format(record) + "\n")
            except Exception:  # noqa: BLE001 - arguments that do not fit the message: only this record is lost
                self.handleError(record)


class Routing:
    """Installed while at least one pool of this process needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._handler = _LogHandler(logging.INFO)
        self._handler.setFormatter(OutputFormatter())
        self._root_level = logging.WARNING

    def install(self) -> None:
        """Begin to route; each call needs one `remove`."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                root = logging.getLogger()
                self._root_level = root.level
                if not root.handlers and root.level == logging.WARNING:
                    root.setLevel(logging.INFO)
                root.addHandler(self._handler)

    def renew(self) -> None:
        """Replace the streams, again if they have been replaced since."""
        if type(getattr(sys, "stdout", None)) is not _Router or type(getattr(sys, "stderr", None)) is not _Router:
            with self._lock:
                for name in _STREAMS:
                    stream = getattr(sys, name, None)
                    if self._users and type(stream) is not _Router:
                        setattr(sys, name, _Router(stream))

    def remove(self) -> None:
        """Restore the real streams."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for name in _STREAMS:
                stream = getattr(sys, name, None)
                if type(stream) is _Router:
                    setattr(sys, name, stream.stream)
            root = logging.getLogger()
            root.removeHandler(self._handler)
            root.setLevel(self._root_level)


routing = Routing()


@contextmanager
def captured(*, echo: bool = False) -> Iterator[Tail]:
    """Send the output of this thread or coroutine to a new tail."""
    routing.renew()
    printed = Printed(log.receive) if log.prints and not echo else None
    tail = Tail(echo=echo, printed=printed)
    token = _tail.set(tail)
    try:
        yield tail
    finally:
        if printed is not None:
            printed.end()
        _tail.reset(token)
