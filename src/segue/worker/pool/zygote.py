"""The zygote: a process with one thread that has imported the tasks' modules and forks children on request.

A fork takes milliseconds and shares the memory of the imported code. The zygote reports births and deaths, and forwards
signals, so that a signal never reaches another process that got the same number. When the worker ends in any way, the
control socket closes: the zygote kills all children with their process groups and ends.

On Linux, the zygote becomes the parent of processes that the children leave running. None of them stays as a zombie
where no `init` reaps it, as in a container.

Control socket, worker → zygote: `REQUEST` (kind, slot or pid, signal), a fork with three descriptors attached.
Zygote → worker: `REPORT` (kind, slot, number), an `IMPORT_FAILED` followed by `number` bytes of text.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import shutil
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Container
from time import monotonic
from typing import NoReturn

import msgspec

from segue.authoring.middleware import middlewares
from segue.loop.self_pipe import Wakeup
from segue.observing.extensions import extensions
from segue.worker.own_process import open_standard_descriptors
from segue.worker.pool.capture import trim
from segue.worker.pool.child import become_child
from segue.worker.pool.settings import ChildSettings

REQUEST = struct.Struct("<ciI")
FORK, SIGNAL = b"F", b"S"
REPORT = struct.Struct("<cii")
IMPORTED, IMPORT_FAILED, BORN, DIED, FORK_FAILED = b"I", b"E", b"B", b"D", b"X"

SETTINGS_LENGTH = struct.Struct("<I")

LEFT_TO_THE_WORKER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that a service manager may send to all processes: only the worker decides what they mean."""

_TRIM_INTERVAL_MS = 200
_LEAVE_SECONDS = 2.0  # how long the children may take for `Middleware.process_stopping`
_PR_SET_CHILD_SUBREAPER = 36


class Zygote:
    """Serves one control socket until it closes."""

    def __init__(self, control: socket.socket, settings: ChildSettings) -> None:
        self._control = control
        self._settings = settings
        self._children: dict[int, tuple[int, int]] = {}  # pid → slot, descriptor of its output
        self._wakeup = Wakeup()  # rung by signals
        self._pid = os.getpid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def run(self) -> None:
        """Import, then fork, reap and signal until the worker goes away."""
        for number in LEFT_TO_THE_WORKER:
            signal.signal(number, signal.SIG_IGN)
        if not self._import_modules():
            return
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.set_wakeup_fd(self._wakeup.write_fd, warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()
        self._say(IMPORTED, 0, 0)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup.fileno(), select.POLLIN)
        while True:
            for descriptor, _ in poll.poll(_TRIM_INTERVAL_MS if self._children else None):
                if descriptor == self._wakeup.fileno():
                    self._wakeup.answer()
                elif not self._obey():
                    return
            self._reap()
            for _slot, capture in self._children.values():
                trim(capture)

    def end(self) -> None:
        """Leave nothing behind. If middlewares or traces wait for the end, the children get a moment for it."""
        if middlewares.stoppings or extensions.flushes:
            self._let_children_leave(monotonic() + _LEAVE_SECONDS)
        for pid in self._children:
            _kill_group(pid, signal.SIGKILL)
        shutil.rmtree(self._settings.folder, ignore_errors=True)

    def _let_children_leave(self, until: float) -> None:
        for pid in self._children:
            _kill_group(pid, signal.SIGTERM)
        poll = select.poll()
        poll.register(self._wakeup.fileno(), select.POLLIN)
        while self._children and (left := until - monotonic()) > 0:
            poll.poll(left * 1000)
            self._wakeup.answer()
            self._reap()

    def _import_modules(self) -> bool:
        sys.path[:] = self._settings.search_path
        try:
            for name in self._settings.modules:
                importlib.import_module(name)
        except BaseException:  # noqa: BLE001 - the worker hears of anything that a module raises, even SystemExit
            text = traceback.format_exc().encode()
            self._control.sendall(REPORT.pack(IMPORT_FAILED, 0, len(text)) + text)
            return False
        return True

    def _obey(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 3)
        except ConnectionError:
            return False
        if len(data) < REQUEST.size:
            return False
        kind, number, signal_number = REQUEST.unpack(data)
        if kind == FORK:
            self._fork(number, descriptors)
        elif number in self._children:
            _kill_group(number, signal_number)
        return True

    def _fork(self, slot: int, descriptors: list[int]) -> None:
        if len(descriptors) != 3:  # this process has no free descriptors for them
            for descriptor in descriptors:
                os.close(descriptor)
            self._say(FORK_FAILED, slot, 0)
            return
        jobs, news, capture = descriptors
        with contextlib.suppress(OSError, ValueError):  # full, or closed by a module
            sys.stdout.flush()
            sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError:
            self._say(FORK_FAILED, slot, 0)
            os.close(capture)
        else:
            if pid == 0:
                self._be_child(jobs, news, capture)
            self._children[pid] = (slot, capture)
            self._say(BORN, slot, pid)
        os.close(jobs)
        os.close(news)

    def _be_child(self, jobs: int, news: int, capture: int) -> NoReturn:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        os.close(self._control.detach())
        self._wakeup.close()
        for _slot, other in self._children.values():
            os.close(other)
        become_child(self._pid, jobs, news, capture, self._settings)

    def _reap(self) -> None:
        while True:
            pid, status = _reap_one(self._children)
            if pid == 0:
                return
            if pid in self._children:
                slot, capture = self._children.pop(pid)
                os.close(capture)
                self._say(DIED, slot, os.waitstatus_to_exitcode(status))

    def _say(self, kind: bytes, slot: int, number: int) -> None:
        with contextlib.suppress(ConnectionError):  # the next read of the control socket notices it
            self._control.sendall(REPORT.pack(kind, slot, number))


def _reap_one(ours: Container[int]) -> tuple[int, int]:
    """A child that has ended (its group is killed), and its status; (0, 0) if none has."""
    try:
        if not hasattr(os, "waitid"):  # macOS
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in ours:
                _kill_group(pid, signal.SIGKILL)
            return pid, status
        # Kill the group before reaping: while the child is a zombie, its number, and so its group's, is not reused.
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0, 0
    if found is None:
        return 0, 0
    if found.si_pid in ours:
        _kill_group(found.si_pid, signal.SIGKILL)
    return os.waitpid(found.si_pid, 0)


def _kill_group(pid: int, signal_number: int) -> None:
    # A child that has not called setsid yet has no separate group.
    for send in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(pid, signal_number)
            return


def main() -> None:
    """`python -m segue.worker.pool.zygote DESCRIPTOR MODULE...`, as `zygote_client.ZygoteClient` calls it.

    The settings come first on the control socket; the modules on the command line are for readers of `ps`.
    """
    open_standard_descriptors()
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    (length,) = SETTINGS_LENGTH.unpack(control.recv(SETTINGS_LENGTH.size, socket.MSG_WAITALL))
    settings = msgspec.json.decode(control.recv(length, socket.MSG_WAITALL), type=ChildSettings)
    zygote = Zygote(control, settings)
    try:
        zygote.run()
    finally:
        zygote.end()
        control.close()


if __name__ == "__main__":
    main()
