"""What a child process prints, kept as a bounded tail.

Descriptors 1 and 2 lead to one unlinked file, opened for appending, whose position is shared by all that write to it.
So "was anything printed?" costs one lseek, subprocesses are captured, too, and the worker can still read the file when
the child has died. The zygote cuts a file that grows too large while its task runs (`trim`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from typing import TextIO

TAIL_BYTES = 16 * 1024
TRIM_BYTES = 4 * 1024 * 1024
"""A capture file larger than this is cut to its tail."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def open_capture(folder: str) -> int:
    """A new capture file, already unlinked; returns its descriptor."""
    descriptor, path = tempfile.mkstemp(dir=folder, prefix="output-")
    os.close(descriptor)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    os.unlink(path)
    return descriptor


def read_tail(descriptor: int) -> str:
    """The last 16 KiB of a capture file, as text; says how much was cut."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - TAIL_BYTES)
    text = os.pread(descriptor, TAIL_BYTES, start).decode("utf-8", "replace")
    return f"[... {start} bytes cut]\n{text}" if start else text


def trim(descriptor: int) -> None:
    """Cut a capture file that has grown too large to its tail, while others write to it."""
    size = os.fstat(descriptor).st_size
    if size > TRIM_BYTES:
        tail = os.pread(descriptor, TAIL_BYTES, size - TAIL_BYTES)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, tail)


class Capture:
    """The child's side: sends all output into the file, and takes what one attempt left there."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        self._out = self._stream(1)
        self._err = self._stream(2)
        self._put_streams()
        root = logging.getLogger()
        if not root.handlers:
            logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)

    @staticmethod
    def _stream(descriptor: int) -> TextIO:
        return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)

    def _put_streams(self) -> None:
        sys.stdout, sys.stderr = self._out, self._err

    def take(self) -> str:
        """What was printed since the last call; the file is empty afterwards."""
        if sys.stdout is not self._out or sys.stderr is not self._err:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            self._put_streams()
        if self._out.closed:
            self._out = self._stream(1)
            self._put_streams()
        if self._err.closed:
            self._err = self._stream(2)
            self._put_streams()
        self._out.flush()
        self._err.flush()
        if os.lseek(self._descriptor, 0, os.SEEK_CUR) == 0:
            return ""
        tail = read_tail(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return tail
