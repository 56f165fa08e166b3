"""Measures how much the pages slow down the workers beside them.

    python -m benchmarks.web_beside sqlite:////tmp/beside.db
    python -m benchmarks.web_beside postgresql://me@localhost/x --rounds 8 --rate 20

A worker works through runs of many short steps, in rounds: without requests, and with so many requests a second of a
server of its own, which ask for the first page, lists, and the run that is being worked. Rounds alternate, and each
pair of neighbours gives one ratio, so that what else the machine does falls on both. The database is empty before.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from segue import Segue, task

PATHS = ("", "runs", "runs/{run}", "runs/{run}/graph", "queues", "api/v1/runs", "runs?status=failed", "workers")


@task(name="beside.step")
def step(number: int, seconds: float) -> int:
    """A short step: mostly the engine works."""
    time.sleep(seconds)
    return number


class Requests:
    """Asks a server, so many times a second, from several threads."""

    def __init__(self, address: str, rate: float, run: str) -> None:
        self._address, self._pause, self._run = address, 4 / rate, run
        self._stop = threading.Event()
        self.took: list[float] = []
        self.failed = 0

    def __enter__(self) -> Requests:
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        due = time.monotonic() + number * self._pause / 4
        count = number
        while not self._stop.wait(max(due - time.monotonic(), 0)):
            began = time.monotonic()
            try:
                path = PATHS[count % len(PATHS)].format(run=self._run)
                with urllib.request.urlopen(f"{self._address}/{path}", timeout=30) as answer:
                    answer.read()
            except OSError:
                self.failed += 1
            self.took.append(time.monotonic() - began)
            count += 1
            due = max(due + self._pause, time.monotonic() - 1)


def one_round(segue: Segue, *, steps: int, seconds: float, address: str, rate: float) -> tuple[float, Requests | None]:
    """Steps a second while a run is worked, and the requests meanwhile; at a rate of 0 there are none."""
    begun = time.monotonic()
    run = segue.start(step.map(range(steps), seconds=seconds))
    if not rate:
        run.wait(600)
        return steps / (time.monotonic() - begun), None
    with Requests(address, rate, run.id) as asked:
        run.wait(600)
    return steps / (time.monotonic() - begun), asked


@contextmanager
def _running(url: str, *command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "segue", *command], env={**os.environ, "SEGUE_DATABASE_URL": url},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of an empty database")
    parser.add_argument("--rounds", type=int, default=6, help="with requests, and as many without")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--steps", type=int, default=2000, help="of the run of a round")
    parser.add_argument("--seconds", type=float, default=0.0, help="that a step sleeps")
    parser.add_argument("--port", type=int, default=8971, help="of the server")
    given = parser.parse_args()
    address = f"http://127.0.0.1:{given.port}"
    with Segue(given.url) as segue:
        segue.engine.store.upgrade()
        worker = ("worker", "-A", "benchmarks.web_beside", "--pool", "thread", "--concurrency", "8")
        with _running(given.url, *worker), _running(given.url, "web", "--port", str(given.port)):
            pairs(segue, given, address)


def pairs(segue: Segue, given: argparse.Namespace, address: str) -> None:
    """Work rounds, and print the ratio of each pair and their median."""

    def rounds(rate: float) -> tuple[float, Requests | None]:
        return one_round(segue, steps=given.steps, seconds=given.seconds, address=address, rate=rate)

    rounds(0)
    rounds(given.rate)
    ratios, took = [], []
    for number in range(given.rounds):
        order = (0.0, given.rate) if number % 2 else (given.rate, 0.0)
        found = {rate: rounds(rate) for rate in order}
        asked = found[given.rate][1]
        assert asked is not None
        ratios.append(found[given.rate][0] / found[0.0][0])
        took += asked.took
        print(
            f"{found[0.0][0]:.0f} steps/s alone, {found[given.rate][0]:.0f} beside {len(asked.took)} requests "
            f"({asked.failed} failed): {ratios[-1]:.3f}", flush=True,
        )  # fmt: skip
    took.sort()
    print(
        f"median ratio {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f}); "
        f"a request took {statistics.median(took) * 1000:.0f} ms, p95 {took[int(len(took) * 0.95)] * 1000:.0f} ms"
    )


if __name__ == "__main__":
    main()
