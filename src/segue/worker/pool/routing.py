"""What attempts print when several share this process: each attempt's output goes to its own bounded tail.

`sys.stdout`, `sys.stderr` and the root logger are replaced, while a pool runs, by ones that ask a context variable
whose output this is; threads and coroutines each have their own. It is best effort: what subprocesses and C code write
to the descriptors themselves is not caught, and threads that a task starts belong to nobody.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from segue.worker.pool.capture import LOG_FORMAT, TAIL_BYTES


class Tail:
    """The last 16 KiB of text."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo  # also print it where it would have gone
        self._parts: list[str] = []
        self._size = 0
        self._cut = 0

    def write(self, text: str) -> None:
        """Add text; old text goes when there is too much."""
        self._parts.append(text)
        self._size += len(text)
        if self._size > 4 * TAIL_BYTES:
            self._shorten()

    def text(self) -> str:
        """What is left, and how much was cut."""
        self._shorten()
        kept = "".join(self._parts)
        return f"[... {self._cut} characters cut]\n{kept}" if self._cut else kept

    def _shorten(self) -> None:
        whole = "".join(self._parts)
        kept = whole[-TAIL_BYTES:]
        self._cut += len(whole) - len(kept)
        self._parts = [kept]
        self._size = len(kept)


_tail: ContextVar[Tail | None] = ContextVar("segue_output", default=None)


_STREAMS = ("stdout", "stderr")


class _Router:
    """Stands in for a text stream."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        tail = _tail.get()
        if tail is None:
            return self.stream.write(text)
        tail.write(text)
        return self.stream.write(text) if tail.echo else len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tail = _tail.get()
        if tail is not None:
            tail.write(self.format(record) + "\n")


class Routing:
    """Installed as long as at least one pool of this process wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._handler = _LogHandler(logging.INFO)
        self._handler.setFormatter(logging.Formatter(LOG_FORMAT))
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
        """Take the place of the streams, again if somebody has replaced them since."""
        if type(sys.stdout) is not _Router or type(sys.stderr) is not _Router:
            with self._lock:
                for name in _STREAMS:
                    stream = getattr(sys, name)
                    if self._users and type(stream) is not _Router:
                        setattr(sys, name, _Router(stream))

    def remove(self) -> None:
        """Put the real streams back."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for name in _STREAMS:
                stream = getattr(sys, name)
                if type(stream) is _Router:
                    setattr(sys, name, stream.stream)
            root = logging.getLogger()
            root.removeHandler(self._handler)
            root.setLevel(self._root_level)


routing = Routing()


@contextmanager
def captured(*, echo: bool = False) -> Iterator[Tail]:
    """Send what is printed in this thread or coroutine to a new tail."""
    routing.renew()
    tail = Tail(echo=echo)
    token = _tail.set(tail)
    try:
        yield tail
    finally:
        _tail.reset(token)
