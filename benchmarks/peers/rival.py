"""What a measured system must provide: worker commands, and the four workloads in terms of that system.

Every task body is `segue.bench.timestamps.mark(run, node)`, so one clock times all systems.
Nodes are numbered from 0 inside a `run`; diamond number j has the nodes 5j (a), 5j+1 to 5j+3 (b, c, d) and 5j+4 (e).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WORKS = ("chain", "fanout", "diamonds", "drain")
STOP_SECONDS = 15

POSTGRES_VARIABLE = "PEERS_POSTGRES"  # URLs of the servers
REDIS_VARIABLE = "PEERS_REDIS"
RABBITMQ_VARIABLE = "PEERS_RABBITMQ"
FOLDER_VARIABLE = "PEERS_FOLDER"  # for the files of one session


class Rival:
    """One system. A subclass sets the texts and implements the workloads."""

    name = ""
    setting = ""  # storage and workers
    durable = ""  # what a kill -9 loses
    notes = ""  # how the workloads are expressed, where that is not obvious
    cannot: dict[str, str] = {}  # noqa: RUF012 - constant; work → why it cannot be expressed

    def prepare(self) -> None:
        """Set up what the workers need before they start: schema, registrations."""

    def commands(self) -> list[list[str]]:
        """The worker processes."""
        raise NotImplementedError

    def chain(self, run: int, count: int) -> None:
        """`count` tasks in sequence."""
        raise NotImplementedError

    def fan(self, run: int, width: int) -> None:
        """Task 0, then `width` tasks in parallel, then task `width + 1`."""
        raise NotImplementedError

    def diamonds(self, run: int, count: int) -> None:
        """`count` workflows of five tasks."""
        raise NotImplementedError

    def enqueue(self, run: int, count: int) -> None:
        """`count` independent tasks, by the fastest call that the system has."""
        raise NotImplementedError

    def close(self) -> None:
        """Close connections."""


class Workers:
    """The worker processes of a rival, in the folder of the session."""

    def __init__(self, rival: Rival) -> None:
        self._rival = rival
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start them, unless they are running."""
        if self._processes:
            return
        log = (session_folder() / "workers.log").open("ab")
        with log:
            self._processes = [
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                for command in self._rival.commands()
            ]

    def stop(self) -> None:
        """Terminate them, and kill them if necessary."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes = []


def session_folder() -> Path:
    """The folder for the files of a session."""
    return Path(os.environ[FOLDER_VARIABLE])


def python(*words: str) -> list[str]:
    """A command for this interpreter."""
    return [sys.executable, *words]


def diamond_nodes(number: int) -> tuple[int, list[int], int]:
    """The nodes of one diamond: a, (b, c, d), e."""
    first = 5 * number
    return first, [first + 1, first + 2, first + 3], first + 4
