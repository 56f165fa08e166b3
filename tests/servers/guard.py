"""Runs a server as long as the tests live: a small process of its own stands between the two.

The guard holds the reading end of a pipe. "keep" on it stops the server and leaves its folder; "remove", or its end
(the tests have crashed or been killed), stops the server and removes the folder. The guard lives in a session of its
own, so that Ctrl-C in the terminal reaches the tests only, and these end the server when they are done with it.

Run as a program: ``guard.py SIGNAL FOLDER LOG USER COMMAND...`` (USER is "" for the present one).
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

STOP_SECONDS = 15
LOOK_SECONDS = 0.2


class Guarded:
    """A server process that cannot outlive this one.

    `stop_signal` is the one that ends this kind of server at once; its output goes to `log`.
    """

    def __init__(
        self, command: list[str], *, folder: Path, log: Path, stop_signal: signal.Signals, user: str | None = None
    ) -> None:
        words = [sys.executable, __file__, stop_signal.name, str(folder), str(log), user or "", *command]
        self._folder = folder
        self._guard = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)

    @property
    def is_running(self) -> bool:
        """True until the server has ended, whoever ended it."""
        return self._guard.poll() is None

    def stop(self, *, keep_folder: bool = False) -> None:
        """End the server now, without a farewell to its clients, and remove its folder unless that is to be kept."""
        pipe = self._guard.stdin
        if pipe is None or pipe.closed:
            return
        try:
            pipe.write(b"keep\n" if keep_folder else b"remove\n")
            pipe.close()
        except BrokenPipeError:
            pass
        self._guard.wait(timeout=2 * STOP_SECONDS)
        if not keep_folder:
            shutil.rmtree(self._folder, ignore_errors=True)  # the guard leaves that of a server that died by itself


def _next_word(parent: int, server: subprocess.Popen[bytes]) -> str:
    """Wait for what the tests say: "keep" or "remove", or "" when they are gone. A dead server says "keep"."""
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin.buffer], [], [], LOOK_SECONDS)
        if readable:
            return sys.stdin.buffer.readline().decode().strip()
        if server.poll() is not None:
            return "keep"
    return ""


def _end(server: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    if server.poll() is not None:
        return
    server.send_signal(stop_signal)
    try:
        server.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main(stop_signal: str, folder: str, log: str, user: str, *command: str) -> None:
    parent = os.getppid()
    group = pwd.getpwnam(user).pw_gid if user else None
    with Path(log).open("ab") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            user=user or None,
            group=group,
            extra_groups=[] if user else None,
        )
    word = _next_word(parent, server)
    _end(server, signal.Signals[stop_signal])
    if word != "keep":
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
