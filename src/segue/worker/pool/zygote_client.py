"""The worker's side of the zygote: starts it, asks it for children, and reads its reports of births and deaths."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from segue.errors import WorkerError
from segue.worker.own_process import open_standard_descriptors
from segue.worker.pool import zygote
from segue.worker.pool.settings import ChildSettings

_EXIT_SECONDS = 5.0


class Report(NamedTuple):
    """One report of the zygote: its kind, the slot, and a pid (born) or exit code (died)."""

    kind: bytes
    slot: int
    number: int


class ZygoteClient:
    """One zygote process. After it has died, `read` raises `ConnectionError`; make a new one."""

    def __init__(self, settings: ChildSettings) -> None:
        open_standard_descriptors()  # otherwise the socket could become one of them
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray()
        descriptor = theirs.fileno()
        command = [sys.executable, *_path_flags(), "-m", zygote.__name__, str(descriptor), *settings.modules]
        told = msgspec.json.encode(settings)
        try:
            self._process = subprocess.Popen(
                command, pass_fds=(descriptor,), stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as exc:
            raise WorkerError(f"The process that forks the pool's children could not be started: {exc}.") from exc
        finally:
            theirs.close()
        with contextlib.suppress(ConnectionError):  # `read` will report that it is dead
            self._control.sendall(zygote.SETTINGS_LENGTH.pack(len(told)) + told)

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._process.pid

    def fileno(self) -> int:
        """The control socket, for polling."""
        return self._control.fileno()

    def wait_until_imported(self, timeout_seconds: float) -> None:
        """Block until the modules are imported. Raises `WorkerError` with the traceback if an import fails."""
        deadline = time.monotonic() + timeout_seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._control], [], [], left)[0]:
                try:
                    reports = self.read()
                except ConnectionError:
                    raise WorkerError(
                        f"The process that imports the tasks' modules ended with exit code {self._process.wait()} "
                        "before it had imported them; its own output says why."
                    ) from None
                if any(report.kind == zygote.IMPORTED for report in reports):
                    return
        raise WorkerError(
            f"Importing the tasks' modules took longer than {timeout_seconds:g} s. "
            "Look for work that runs, or a service that is called, at import time."
        )

    def fork(self, slot: int, descriptors: tuple[int, int, int]) -> None:
        """Ask for a child with these descriptors (jobs, news, output); a `BORN` or `FORK_FAILED` follows."""
        with contextlib.suppress(ConnectionError):
            socket.send_fds(self._control, [zygote.REQUEST.pack(zygote.FORK, slot, 0)], descriptors)

    def signal(self, pid: int, signal_number: int) -> None:
        """Send this signal to the process group of a child, if it is still alive."""
        with contextlib.suppress(ConnectionError):
            self._control.sendall(zygote.REQUEST.pack(zygote.SIGNAL, pid, signal_number))

    def read(self) -> list[Report]:
        """The zygote's reports. Raises `ConnectionError` if it is dead, `WorkerError` if an import failed."""
        try:
            data = self._control.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionError("the zygote has closed its control socket")
        self._buffer += data
        reports = []
        size = zygote.REPORT.size
        while len(self._buffer) >= size:
            report = Report(*zygote.REPORT.unpack_from(self._buffer))
            if report.kind == zygote.IMPORT_FAILED:
                self._raise_import_error(size, report.number)
            reports.append(report)
            del self._buffer[:size]
        return reports

    def close(self) -> None:
        """Let the zygote kill its children and end. Returns when it has ended."""
        self._control.close()
        try:
            self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill_children(self, pids: list[int]) -> None:
        """Kill the children of a dead zygote."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def _raise_import_error(self, start: int, length: int) -> None:
        while len(self._buffer) < start + length and (data := self._control.recv(1 << 16)):
            self._buffer += data
        text = bytes(self._buffer[start : start + length]).decode()
        raise WorkerError(f"The tasks' modules cannot be imported. Fix this and start again:\n{text}")


def _path_flags() -> tuple[str, ...]:
    """Keep the current folder off the path until Segue is imported: a user's `token.py` must not replace Python's."""
    root = Path(zygote.__file__).parents[3]
    with contextlib.suppress(OSError):
        if root.samefile(os.curdir):
            return ()  # Segue itself is found there
    return ("-P",)
