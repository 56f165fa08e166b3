"""Blows: what happens to processes, connections and the database while a storm lasts."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.crash.worker_processes import WorkerProcess
from tests.servers.postgres import PostgresServer

FROZEN_SECONDS = (0.2, 6.0)
HELD_SECONDS = (0.2, 3.0)
ODD_SETTINGS = {
    "DateStyle": "'German, DMY'", "IntervalStyle": "'sql_standard'", "bytea_output": "'escape'", "array_nulls": "off",
    "extra_float_digits": "0", "timezone": "'Asia/Kolkata'", "statement_timeout": "'900ms'", "lock_timeout": "'400ms'",
    "default_transaction_isolation": "'repeatable read'", "standard_conforming_strings": "off", "lc_messages": "'C'",
    "search_path": "public",
}  # fmt: skip
"""What a database may be told of every session, as operators do."""


def descendants(pid: int) -> list[int]:
    """The processes below a worker: its zygote, its children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid:
                    found += [int(entry.name), *descendants(int(entry.name))]
    return found


class Disturbances:
    """Strikes at random, each kind as often as the others."""

    def __init__(self, url: str, chance: random.Random, server: PostgresServer | None) -> None:
        self._url = url
        self._chance = chance
        self._server = server
        self.counts: Counter[str] = Counter()
        self.ended_by_us: set[int] = set()  # pids of workers
        kinds: list[Callable[[WorkerProcess], None]] = [
            self.kill, self.freeze, self.terminate, self.terminate_twice, self.kill_a_child, self.freeze_a_child,
        ]  # fmt: skip
        kinds += [self.end_connections, self.cancel_statements, self.lock_a_run] if server else [self.lock_the_file]
        self._kinds = kinds

    def strike(self, living: Sequence[WorkerProcess]) -> None:
        """One blow."""
        blow = self._chance.choice(self._kinds)
        self.counts[blow.__name__.replace("_", " ")] += 1
        with contextlib.suppress(ProcessLookupError):
            blow(self._chance.choice(living))

    def restart(self) -> None:
        """The whole server, as in a crash."""
        if self._server is not None:
            self._server.stop()
            time.sleep(self._chance.random())
            self._server.start()
            self.counts["server restarted"] += 1

    def kill(self, worker: WorkerProcess) -> None:
        self.ended_by_us.add(worker.pid)
        worker.kill()

    def freeze(self, worker: WorkerProcess) -> None:
        worker.send(signal.SIGSTOP)
        _after(self._chance.uniform(*FROZEN_SECONDS), worker.send, signal.SIGCONT)

    def terminate(self, worker: WorkerProcess) -> None:
        self.ended_by_us.add(worker.pid)
        worker.send(signal.SIGTERM)

    def terminate_twice(self, worker: WorkerProcess) -> None:
        self.terminate(worker)
        worker.send(signal.SIGTERM)

    def kill_a_child(self, worker: WorkerProcess) -> None:
        below = descendants(worker.pid)
        if below:
            os.kill(self._chance.choice(below), signal.SIGKILL)

    def freeze_a_child(self, worker: WorkerProcess) -> None:
        below = descendants(worker.pid)
        if below:
            pid = self._chance.choice(below)
            os.kill(pid, signal.SIGSTOP)
            _after(self._chance.uniform(*HELD_SECONDS), _continue, pid)

    def end_connections(self, _: WorkerProcess) -> None:
        self._ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                  "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2")  # fmt: skip

    def cancel_statements(self, _: WorkerProcess) -> None:
        self._ask("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                  "AND pid <> pg_backend_pid()")  # fmt: skip

    def lock_a_run(self, _: WorkerProcess) -> None:
        def hold() -> None:
            with contextlib.suppress(psycopg.Error), psycopg.connect(self._url) as connection:
                connection.execute("SET statement_timeout = 0")
                connection.execute(
                    "SELECT 1 FROM segue_runs WHERE finished_at IS NULL ORDER BY random() LIMIT 3 FOR UPDATE"
                )
                time.sleep(self._chance.uniform(*HELD_SECONDS))

        threading.Thread(target=hold, daemon=True).start()

    def lock_the_file(self, _: WorkerProcess) -> None:
        def hold() -> None:
            with contextlib.closing(sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=30)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                time.sleep(self._chance.uniform(*HELD_SECONDS))

        threading.Thread(target=hold, daemon=True).start()

    def _ask(self, question: str) -> None:
        with contextlib.suppress(psycopg.Error), psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute(question.encode())


def set_oddly(url: str) -> None:
    """Give the database settings that Segue does not expect."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        for setting, value in ODD_SETTINGS.items():
            connection.execute(f'ALTER DATABASE "{name}" SET {setting} = {value}'.encode())


def _after(seconds: float, call: Callable[..., Any], *args: Any) -> None:
    timer = threading.Timer(seconds, call, args)
    timer.daemon = True
    timer.start()


def _continue(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
