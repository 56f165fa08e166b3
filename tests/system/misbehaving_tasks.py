"""Tasks that leave their child process other than they found it, or do to it what no task should."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import multiprocessing
import os
import resource
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from segue.authoring import task


@task
def report() -> dict[str, Any]:
    """What an attempt finds around it."""
    mask = os.umask(0)
    os.umask(mask)
    print("said")  # noqa: T201
    handlers = {int(n): str(signal.getsignal(n)) for n in signal.valid_signals() if n not in (9, 19)}
    handlers.pop(signal.SIGTERM)
    return {
        "pid": os.getpid(),
        "folder": str(Path.cwd()),
        "umask": mask,
        "blocked": sorted(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timer": signal.getitimer(signal.ITIMER_REAL),
        "handlers": handlers,
        "has_sigterm": signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN, None),
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
    }


@task
def nap(seconds: float) -> None:
    time.sleep(seconds)


@task
def nap_and_mark(mark: str) -> None:
    try:
        time.sleep(60)
    finally:
        Path(mark).touch()


def _writable_pipes() -> list[int]:
    """The pipes that this process may write to; one of them is that of its answers."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            descriptor = int(path.name)
            flags = int(Path(f"/proc/self/fdinfo/{path.name}").read_text().split("flags:")[1].split()[0], 8)
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode) and flags & os.O_ACCMODE == os.O_WRONLY:
                found.append(descriptor)
    return found


GARBAGE = {
    "text": b"hello, is anybody there?\n",
    "short": b"x",
    "zeros": b"\0" * 100,
    "large length": b"\xf5\xe9\xff\xff\xff\xff\x00",
    "no verdict": b"\xf5\xe9\x01\x00\x00\x00\x00\xc1",
}


@task
def write_garbage(kind: str) -> str:
    for descriptor in _writable_pipes():
        os.write(descriptor, GARBAGE[kind])
    return "wrote"


@task
def garbage_from_a_thread() -> None:
    """Garbage behind the answer, while the child waits for its next job."""
    pipes = _writable_pipes()
    threading.Timer(0.05, lambda: [os.write(pipe, b"zzz") for pipe in pipes]).start()


@task
def change(what: str) -> None:
    match what:
        case "handlers":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_IGN)
        case "handler":
            signal.signal(signal.SIGTERM, lambda *_: None)
        case "asyncio handler":
            asyncio.run(_add_handlers())
        case "wakeup":
            signal.set_wakeup_fd(os.open(os.devnull, os.O_WRONLY | os.O_NONBLOCK))
        case "mask":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
        case "alarm":
            signal.setitimer(signal.ITIMER_REAL, 0.2)
        case "faulthandler":
            faulthandler.dump_traceback_later(0.2, exit=True)
        case "folder":
            os.chdir("/")
        case "folder removed":
            folder = tempfile.mkdtemp()
            os.chdir(folder)
            shutil.rmtree(folder)
        case "umask":
            os.umask(0o777)
        case "limits":
            time.sleep(0.01)  # limits are looked at after attempts that take longer
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        case "stdout":
            sys.stdout = sys.stderr = None  # type: ignore[assignment]
        case "no stdout":
            del sys.stdout, sys.stderr
        case "descriptors 1 and 2":
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
        case "thread":
            threading.Thread(target=time.sleep, args=(600,)).start()
        case "exit in thread":
            thread = threading.Thread(target=sys.exit, args=(7,))
            thread.start()
            thread.join()
        case "patched":
            time.monotonic = time.perf_counter = time.time = json.dumps = None  # type: ignore[assignment]
        case "fork":
            if os.fork() == 0:
                return
        case "fork and exit":
            if os.fork() == 0:
                sys.exit(3)
        case "fork and raise":
            if os.fork() == 0:
                raise ValueError("in the fork")
        case "file size":
            time.sleep(0.01)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            print("too much")  # noqa: T201


async def _add_handlers() -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        loop.add_signal_handler(number, print)


CHANGES = (
    "handlers", "handler", "asyncio handler", "wakeup", "mask", "alarm", "faulthandler", "folder", "folder removed",
    "umask", "limits", "stdout", "no stdout", "descriptors 1 and 2", "thread", "exit in thread", "patched", "fork",
    "fork and exit", "fork and raise", "file size",
)  # fmt: skip


@task
def become_nobody() -> None:
    time.sleep(0.01)
    os.setuid(65534)


def _sleep_on() -> None:
    time.sleep(60)


@task
def terminate_a_child_of_its_own() -> int | None:
    """As `multiprocessing` pools do at their end."""
    process = multiprocessing.get_context("fork").Process(target=_sleep_on)
    process.start()
    process.terminate()
    process.join(10)
    code = process.exitcode
    process.kill()
    return code
