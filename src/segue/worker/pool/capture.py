"""The output of a child process, kept as a bounded tail.

Descriptors 1 and 2 lead to one unlinked file, opened for appending; all writers share its position. One lseek therefore
shows whether anything was printed, subprocesses are captured, too, and the worker can still read the file after the
child has died. The zygote cuts a file that grows too large while its task runs (`trim`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from time import gmtime
from typing import Any, TextIO

from segue.logs.forwarding import Forwarder, LogLine
from segue.logs.printed import Printed
from segue.worker.pool.folder import make_again

TAIL_BYTES = 16 * 1024
TRIM_BYTES = 4 * 1024 * 1024
"""A capture file larger than this is cut to its tail."""


class OutputFormatter(logging.Formatter):
    """What is logged, as a line in the output of an attempt. Times are UTC."""

    converter = gmtime  # type: ignore[assignment]
    default_msec_format = "%s.%03d UTC"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


def open_capture(folder: str) -> int:
    """A new capture file, already unlinked. Returns its descriptor.

    The file is in memory if the folder has no room or is not writable. Raises OSError if neither is possible.
    """
    try:
        return _open_in(folder)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            make_again(folder)
            return _open_in(folder)
    except OSError as exc:
        if exc.errno in (errno.EMFILE, errno.ENFILE):
            raise
    if not hasattr(os, "memfd_create"):
        return _open_in(folder)
    descriptor = os.memfd_create("segue-output", os.MFD_CLOEXEC)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


def _open_in(folder: str) -> int:
    descriptor, path = tempfile.mkstemp(dir=folder, prefix="output-")
    os.close(descriptor)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    os.unlink(path)
    return descriptor


def read_tail(descriptor: int) -> str:
    """The last 16 KiB of a capture file, as text, with a note on how much was cut."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - TAIL_BYTES)
    text = storable(os.pread(descriptor, TAIL_BYTES, start).decode("utf-8", "replace"))
    return f"[... {start} bytes cut]\n{text}" if start else text


def begun_line_cut(text: str) -> str:
    """The text of `read_tail` without the line that was cut: it may be half of a secret, which is not found then."""
    if not text.startswith("[... "):
        return text
    note, _, rest = text.partition("\n")
    _, newline, whole = rest.partition("\n")
    return f"{note}\n{whole if newline else rest}"


def storable(text: str) -> str:
    """The text in a form that every database can store: without NUL, and without halves of characters."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-8", "backslashreplace").decode()
    return text


def trim(descriptor: int) -> None:
    """Cut a capture file that has grown too large to its tail, while others write to it."""
    size = os.fstat(descriptor).st_size
    if size > TRIM_BYTES:
        tail = os.pread(descriptor, TAIL_BYTES, size - TAIL_BYTES)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, tail)


class _Lossy(io.FileIO):
    """A file that ignores a full disk: a task does not fail because its output cannot be kept."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            return memoryview(data).nbytes


class _Logged(io.TextIOWrapper):
    """A stream whose text is also logged."""

    def __init__(self, raw: io.BufferedWriter[_Lossy], printed: Printed) -> None:
        super().__init__(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._printed = printed

    def write(self, text: str, /) -> int:
        written = super().write(text)
        self._printed.add(text)
        return written


class Capture:
    """The child's side: sends all output into the file, and reads the output of one attempt from it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._printed: Printed | None = None  # if what is printed is also logged
        self.lead_here()
        self._out = self._stream(1)
        self._err = self._stream(2)
        self._put_streams()
        root = logging.getLogger()
        self._is_configured = bool(root.handlers)  # by the code of the tasks
        if not self._is_configured:
            handler = logging.StreamHandler()
            handler.setFormatter(OutputFormatter())
            logging.basicConfig(level=logging.INFO, handlers=[handler])

    def forward(self, level: int, send: Callable[[LogLine], None], *, prints: bool = False) -> None:
        """Send records from this level on to the worker, beside their place in the output of the attempt.

        With `prints`, lines that Python code prints are sent as well; those of subprocesses are not.
        """
        root = logging.getLogger()
        if not self._is_configured and level < root.level:
            root.handlers[0].setLevel(root.level)
            root.setLevel(level)
        root.addHandler(Forwarder(level, send))
        if prints:  # the handler above keeps the plain stream: its lines are sent already
            self._printed = Printed(send)
            self._out, self._err = self._stream(1), self._stream(2)
            self._put_streams()

    def _stream(self, descriptor: int) -> TextIO:
        raw = io.BufferedWriter(_Lossy(descriptor, "w", closefd=False))
        if self._printed is not None:
            return _Logged(raw, self._printed)
        return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def lead_here(self) -> None:
        """Point descriptors 1 and 2 to the file, again if they have been redirected."""
        os.dup2(self._descriptor, 1)
        os.dup2(self._descriptor, 2)

    def _put_streams(self) -> None:
        sys.stdout, sys.stderr = self._out, self._err

    def take(self) -> str:
        """The output since the last call; the file is empty afterwards."""
        if getattr(sys, "stdout", None) is not self._out or getattr(sys, "stderr", None) is not self._err:
            with contextlib.suppress(BaseException):  # the task may have replaced the stream
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
        if self._printed is not None:
            self._printed.end()
        if os.lseek(self._descriptor, 0, os.SEEK_CUR) == 0:
            return ""
        tail = read_tail(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return tail
