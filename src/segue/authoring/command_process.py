"""Runs the command of a step under /bin/sh, in a process group of its own.

Its output is copied to standard output as it comes, so that the worker keeps its tail with the attempt. However the
step ends (done, timeout, cancelled, this process killed), the whole group is ended with it.
"""

from __future__ import annotations

import codecs
import os
import select
import signal
import subprocess
import sys

from segue.authoring.context import Cancelled, Context, NoStepError, current
from segue.clock import SystemClock

LOOK_EVERY_SECONDS = 0.2

# The first shell watches file descriptor 3, a pipe whose other end only this process holds: when that end is closed by
# the death of this process, the guard kills the group, so that no command outlives the step that it belonged to.
_GUARDED = (
    "exec 3<&0; (read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 </dev/null 3<&3 & "
    'exec 3<&- </dev/null; exec /bin/sh -c "$0"'
)

_clock = SystemClock()


def run_in_group(
    text: str, *, timeout: float | None, cwd: str | None, env: dict[str, str] | None, tail_bytes: int,
    grace_seconds: float,
) -> tuple[int, str]:  # fmt: skip
    """Run a command until it ends; returns its exit code and the last `tail_bytes` of its output as text.

    `env` is added to this process's. After `timeout` seconds, or when the step is to end, the group is told to end, and
    `grace_seconds` later killed. Raises TimeoutError and Cancelled.
    """
    guard, ours = os.pipe()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDED, text],
            stdin=guard,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            process_group=0,
        )
    finally:
        os.close(guard)
    try:
        tail = _follow(process, timeout, tail_bytes)
        return process.wait(), tail
    except BaseException:
        _end(process, grace_seconds)
        raise
    finally:
        _signal(process, signal.SIGKILL)  # what the command left behind, and the guard
        os.close(ours)
        if process.stdout is not None:
            process.stdout.close()


def _follow(process: subprocess.Popen[bytes], timeout: float | None, tail_bytes: int) -> str:
    """Copy the output as it comes until the command ends; return its last bytes as text."""
    assert process.stdout is not None  # Popen was told to make a pipe
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
            break  # something that it left behind still holds the pipe
        if context is not None and context.cancelled():
            raise Cancelled
        if deadline is not None and _clock.monotonic() >= deadline:
            raise TimeoutError(f"the command was still running after {timeout:g} seconds and was ended")
    return _wait_until(process, deadline, timeout, tail)


def _wait_until(process: subprocess.Popen[bytes], deadline: float | None, timeout: float | None, tail: bytes) -> str:
    """A command may close its output and go on."""
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


def _end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """SIGTERM to the group, some time to obey, then SIGKILL."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
