"""Runs the command of a step under /bin/sh, in a separate process group.

Its output is copied to standard output as it comes, so that the worker keeps its tail with the attempt. However the
step ends (done, timeout, cancelled, this process killed), the whole group ends with it.
"""

from __future__ import annotations

import codecs
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from segue.authoring.context import Cancelled, Context, NoStepError, current
from segue.clock import SystemClock
from segue.observing.tracing.switch import tracing

LOOK_EVERY_SECONDS = 0.2

REAP_SECONDS = 1.0

# The guard leads the group and waits on a pipe whose other end only this process holds. When this process dies, the
# pipe closes and the guard kills the group, so that no command outlives its step. The guard is a child of this process,
# not of the command: the command would leave it an orphan, and in a container often no process reaps orphans.
_GUARD = "trap '' HUP INT QUIT TERM; read -r _; kill -KILL 0"

_clock = SystemClock()


def run_in_group(
    text: str, *, timeout: float | None, cwd: str | None, env: dict[str, str] | None, tail_bytes: int,
    grace_seconds: float,
) -> tuple[int, str]:  # fmt: skip
    """Run a command until it ends. Returns its exit code and the last `tail_bytes` of its output as text.

    `env` is added to this process's. After `timeout` seconds, or when the step is to end, the group gets a SIGTERM, and
    a SIGKILL `grace_seconds` later. Raises TimeoutError and Cancelled.
    """
    with _guarded_group() as group:
        process = subprocess.Popen(
            ["/bin/sh", "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=_environment(env),
            process_group=group,
        )
        try:
            tail = _follow(process, timeout, tail_bytes)
            return process.wait(), tail
        except BaseException:
            _end(process, group, grace_seconds)
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()


def _environment(added: dict[str, str] | None) -> dict[str, str] | None:
    """That of the command: None, this process's; with the current span, if this process traces."""
    traceparent = None if tracing.spans is None else tracing.spans.traceparent()
    if added is None and traceparent is None:
        return None
    span = {} if traceparent is None else {"TRACEPARENT": traceparent}
    return {**os.environ, **span, **(added or {})}


@contextmanager
def _guarded_group() -> Iterator[int]:
    """A process group that ends with the block, or with this process; not even a zombie is left of it."""
    theirs, ours = os.pipe()
    try:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    try:
        yield guard.pid
    finally:
        _signal(guard.pid, signal.SIGKILL)  # the guard, and the processes that the command left running
        os.close(ours)
        _reap(guard.pid)
        guard.wait()


def _reap(group: int) -> None:
    """Reap the processes of the group that are this process's children, some by adoption, if it adopts orphans."""
    deadline = _clock.monotonic() + REAP_SECONDS
    with suppress(ChildProcessError):
        while _clock.monotonic() < deadline:
            if os.waitpid(-group, os.WNOHANG)[0] == 0:
                select.select([], [], [], 0.001)  # killed, but not dead yet


def _follow(process: subprocess.Popen[bytes], timeout: float | None, tail_bytes: int) -> str:
    """Copy the output as it comes until the command ends; return its last bytes as text."""
    assert process.stdout is not None  # Popen made a pipe
    source = process.stdout.fileno()
    context = _context()
    deadline = None if timeout is None else _clock.monotonic() + timeout
    text_of = codecs.getincrementaldecoder("utf-8")("replace")
    tail = b""
    while True:
        if select.select([source], [], [], LOOK_EVERY_SECONDS)[0]:
            block = os.read(source, 65536)
            if not block:
                break
            tail = (tail + block)[-tail_bytes:]
            sys.stdout.write(text_of.decode(block))
            sys.stdout.flush()
        elif process.poll() is not None:
            break  # a process that the command left running still holds the pipe
        if context is not None and context.cancelled():
            raise Cancelled
        if deadline is not None and _clock.monotonic() >= deadline:
            raise TimeoutError(f"the command was still running after {timeout:g} seconds and was ended")
    return _wait_until(process, deadline, timeout, tail)


def _wait_until(process: subprocess.Popen[bytes], deadline: float | None, timeout: float | None, tail: bytes) -> str:
    """Wait for the end; a command may close its output and continue."""
    try:
        process.wait(None if deadline is None else max(0.0, deadline - _clock.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"the command was still running after {timeout:g} seconds and was ended") from None
    return tail.decode("utf-8", "replace")


def _context() -> Context | None:
    try:
        return current()
    except NoStepError:
        return None


def _end(process: subprocess.Popen[bytes], group: int, grace_seconds: float) -> None:
    """SIGTERM to the group, some time to react, then SIGKILL."""
    _signal(group, signal.SIGTERM)
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        _signal(group, signal.SIGKILL)
        process.wait()


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
