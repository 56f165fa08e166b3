"""Measures what a payload store saves: 1,000 results of 1 MiB go into one join, with and without a store.

    python -m benchmarks.payloads                                         # SQLite
    python -m benchmarks.payloads --database postgresql://me@localhost/   # and a PostgreSQL server
    python -m benchmarks.payloads --results 100 --mebibytes 0.5           # smaller

A worker with two child processes runs the steps. The figures are the largest memory of the worker's own process and of
its largest child, the size of the database afterwards (with its log, on SQLite), that of the store, and the time from
the start to the end of the run. The results are text that compresses to about three quarters.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from segue import Segue, task, workflow
from segue.bench.scratch import POSTGRES, Scratch, Site, run_on_server
from segue.payloads import FilePayloads

ROOT = Path(__file__).resolve().parents[1]
LOOK_SECONDS = 0.02
READY_SECONDS = 60.0
END_SECONDS = 1800.0


@task(name="benchmarks.payloads.make")
def make(number: int, size: int) -> str:
    return b64encode(Random(number).randbytes(size * 3 // 4)).decode()


@task(name="benchmarks.payloads.measure")
def measure(texts: list[str]) -> int:
    return sum(map(len, texts))


@workflow(name="benchmarks.payloads.join")
def join(results: int, size: int) -> Any:
    return measure([make(number, size) for number in range(results)])


class Figures(NamedTuple):
    """What was measured, in MiB and seconds."""

    worker: float
    child: float
    database: float
    store: float
    seconds: float


class Memory:
    """Watches the largest memory of a process and of those below it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.own = 0.0
        self.child = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            self.own = max(self.own, peak_of(self._pid))
            self.child = max([self.child, *(peak_of(pid) for pid in below(self._pid))])


def peak_of(pid: int) -> float:
    """The largest memory of a process so far, in MiB; 0 if it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def below(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that these have."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from below(child)


@contextmanager
def worker(url: str, environment: dict[str, str]) -> Iterator[int]:
    """A worker with two child processes; its process id."""
    command = [sys.executable, "-m", "segue", "worker", "-A", "benchmarks.payloads", "-c", "2", "--no-chores"]
    command += ["--json", "--log-level", "warning"]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment, "SEGUE_DATABASE_URL": url}, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit("The worker ended; its output is above.")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_SECONDS)


def size_of(scratch: Scratch) -> float:
    """The size of the database, in MiB."""
    if scratch.dialect == POSTGRES:
        [(size,)] = run_on_server(scratch.url, "CHECKPOINT", "SELECT pg_database_size(current_database())")
        return float(size) / 2**20
    return sum(path.stat().st_size for path in scratch.folder.glob("bench.db*")) / 2**20


def measured(site: Site, results: int, size: int, *, with_store: bool) -> Figures:
    """One run in a new database."""
    with site.scratch() as scratch:
        folder = scratch.folder / "payloads"
        store = FilePayloads(folder) if with_store else None
        environment = {"SEGUE_PAYLOADS": store.url} if store is not None else {"SEGUE_PAYLOADS": ""}
        with Segue(scratch.url, payloads=store) as segue:
            segue.upgrade()
            with worker(scratch.url, environment) as pid, Memory(pid) as memory:
                begun = time.perf_counter()
                run = segue.start(join, results, size)
                run.wait(END_SECONDS)
                seconds = time.perf_counter() - begun
                found = run.result()
            if found != results * size:
                raise SystemExit(f"The join counted {found:,} characters instead of {results * size:,}.")
        kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if with_store else 0
        return Figures(memory.own, memory.child, size_of(scratch), kept / 2**20, seconds)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="What a payload store saves.")
    parser.add_argument("--database", help="a PostgreSQL server to measure, too")
    parser.add_argument("--results", type=int, default=1000)
    parser.add_argument("--mebibytes", type=float, default=1.0, help="the length of each result")
    given = parser.parse_args()
    size = int(given.mebibytes * 2**20) // 4 * 4
    print(f"{given.results:,} results of {size:,} characters into one join\n")
    print("| database | payload store | worker MiB | largest child MiB | database MiB | store MiB | seconds |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for site in (Site(None), *((Site(given.database),) if given.database else ())):
        for with_store in (False, True):
            found = measured(site, given.results, size, with_store=with_store)
            words = " | ".join(f"{value:,.0f}" for value in found[:4])
            print(f"| {site.name} | {'files' if with_store else 'none'} | {words} | {found.seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
