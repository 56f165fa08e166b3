"""Measures canvases on Celery through Segue beside the same canvases on plain Celery.

    python -m benchmarks.celery_door                       # everything, with 5 rounds; takes a quarter of an hour
    python -m benchmarks.celery_door --quick               # small numbers: does it work?
    python -m benchmarks.celery_door --only chain --rounds 20

It starts PostgreSQL (with fsync) and two Redis servers, for messages and for results, on private ports. Each system has
a worker of its own (prefork, two children), which stays, and a client. Each is measured right beside plain Celery, in
turns, so that other load on the machine affects both; the table has the median of these ratios, and where the middle
half of them lies. The line of tasks in no canvas shows how much a figure means: the same code runs there everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import median, quantiles
from types import MappingProxyType
from typing import NamedTuple

from redis import Redis

from benchmarks.peers.servers import postgres_server, redis_server
from segue import Segue
from segue.bench.scratch import Site
from segue.bench.timestamps import FOLDER_VARIABLE

PROJECT = "benchmarks.celery_door_project"
ROOT = Path(__file__).resolve().parents[1]
PLAIN = "plain Celery"
LOOK_SECONDS = 0.01
START_SECONDS = 60


class Work(NamedTuple):
    """One line of the table. `goals` are ratios to plain Celery, by the fence and by the kind of database."""

    name: str
    size: int
    title: str
    repeats: int = 1  # in each turn
    goals: Mapping[str, float] = MappingProxyType({})

    def goal(self, system: str) -> float | None:
        """What is wanted of a system."""
        return next((goal for word, goal in self.goals.items() if word in system), None)


WORKS = (
    Work("chain", 40, "chain of 40, per step", 3, {
        "SQLite, suspect": 1.15, "SQLite, always": 1.3, "PostgreSQL, suspect": 1.3, "PostgreSQL, always": 1.5,
    }),
    Work("chord", 1_000, "chord of 1,000", 1, {"": 0.9}),
    Work("fan", 1_000, "task, then chord of 1,000", 1, {"": 0.9}),
    Work("diamonds", 500, "500 diamonds", 1, {"": 1 / 1.2}),
    Work("lone", 2_000, "2,000 tasks in no canvas", 1, {"": 1.02}),
    Work("chord", 10_000, "chord of 10,000", 1, {"": 0.9}),
)  # fmt: skip
QUICK = tuple(
    Work(work.name, min(work.size, 100), f"{work.name}, {min(work.size, 100)}", 1, work.goals) for work in WORKS[:-1]
)
MEMORY = "messages of a chord of 10,000, memory"
MEMORY_GOAL = 0.3


class System:
    """A worker and a client of one app."""

    def __init__(self, name: str, environment: dict[str, str], folder: Path, arguments: list[str]) -> None:
        self.name = name
        self.ratios: dict[str, list[float]] = {}  # to plain Celery
        marks = folder / "marks"
        marks.mkdir()
        settings = {**os.environ, **environment, FOLDER_VARIABLE: str(marks), "PYTHONPATH": str(ROOT)}
        self.log = folder / "worker.log"
        celery = ["-m", "celery", "-A", PROJECT, "worker", "--concurrency", "2", "--loglevel", "INFO"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-n", f"{folder.name}@%h"]
        with self.log.open("wb") as log:
            self.worker = subprocess.Popen(
                [sys.executable, *celery, *quiet, *arguments], env=settings, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._client = subprocess.Popen(
            [sys.executable, "-m", PROJECT], env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait(self) -> None:
        """Wait until the worker is ready."""
        end = time.monotonic() + START_SECONDS
        while " ready." not in self.log.read_text():
            if self.worker.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"The worker of {self.name} did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def note(self, title: str, ratio: float) -> None:
        """Keep a ratio to plain Celery."""
        self.ratios.setdefault(title, []).append(ratio)

    def measure(self, work: str, size: int) -> float:
        """One figure. Stops the program when it is invalid."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(json.dumps([work, size]) + "\n")
        self._client.stdin.flush()
        answer = self._client.stdout.readline()
        if not answer:
            raise SystemExit(f"{work} failed with {self.name}; the worker's log ends:\n{self.log.read_text()[-3000:]}")
        return float(json.loads(answer))

    def close(self) -> None:
        """End both, also in the middle of a work."""
        self._client.kill()
        self._client.wait()
        self.worker.terminate()
        try:
            self.worker.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.worker.pid, signal.SIGKILL)
            self.worker.wait()


class Peak:
    """The most memory that a Redis uses meanwhile, beyond what it used before."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)
        self._before = self._most = 0
        self._stop = threading.Event()

    def __enter__(self) -> Peak:
        self._before = self._most = self._used()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        """How much."""
        return self._most - self._before

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._most = max(self._most, self._used())

    def _used(self) -> int:
        return int(self._redis.info("memory")["used_memory"])  # type: ignore[index, arg-type]


@contextmanager
def systems(wanted: list[str], arguments: list[str]) -> Iterator[tuple[list[System], str]]:
    """Start the servers and the systems; yields the URL of the broker, too."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-celery-")))
        broker, results = stack.enter_context(redis_server()), stack.enter_context(redis_server())
        sites = {"SQLite": Site(None)}
        if any("PostgreSQL" in name for name in wanted):
            sites["PostgreSQL"] = Site(stack.enter_context(postgres_server()))
        found: list[System] = []
        for number, name in enumerate(wanted):
            own = folder / f"system-{number}"
            own.mkdir()
            settings = {"DOOR_BROKER": f"{broker}/{number}", "DOOR_RESULTS": f"{results}/{number}"}
            if name != PLAIN:
                database, _, fence = name.partition(", ")
                settings["DOOR_DATABASE"] = stack.enter_context(sites[database].scratch()).url
                settings["DOOR_FENCE"] = fence
                with Segue(settings["DOOR_DATABASE"]) as segue:
                    segue.upgrade()
            found.append(System(name, settings, own, arguments))
            stack.callback(found[-1].close)
        for system in found:
            system.wait()
        yield found, broker


def measure(found: list[System], broker: str, works: tuple[Work, ...], rounds: int) -> None:
    """Measure each system and plain Celery one right after the other, so that both meet the same load."""
    plain, others = found[0], found[1:]
    for system in found:
        for work in {work.name for work in works}:
            system.measure(work, 20)  # a warm-up
    for number in range(rounds):
        for work in works:
            is_large = work.size >= 10_000
            if is_large and number >= max(rounds // 4, 1):
                continue
            for system in others:
                for repeat in range(work.repeats):
                    pair = [plain, system][:: -1 if (number + repeat) % 2 else 1]
                    taken: dict[str, float] = {}
                    peaks: dict[str, float] = {}
                    for each in pair:
                        with Peak(broker) if is_large else nullcontext() as peak:
                            taken[each.name] = each.measure(work.name, work.size)
                        if peak is not None:
                            peaks[each.name] = peak.bytes
                    system.note(work.title, taken[system.name] / taken[plain.name])
                    if is_large:
                        system.note(MEMORY, peaks[system.name] / peaks[plain.name])
        print(f"round {number + 1} of {rounds}\n{table(found, works)}", file=sys.stderr, flush=True)


def table(found: list[System], works: tuple[Work, ...]) -> str:
    """Ratios to plain Celery, in Markdown: the median of each, and where the middle half of them lies."""
    others = found[1:]
    lines = [["", *(system.name for system in others)], ["---"] * (len(others) + 1)]
    rows: list[tuple[str, Callable[[str], float | None]]] = [(work.title, work.goal) for work in works]
    if any(MEMORY in system.ratios for system in others):
        rows.append((MEMORY, lambda _: MEMORY_GOAL))
    for title, goal in rows:
        lines.append([title, *(_cell(system.ratios[title], goal(system.name)) for system in others)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(ratios: list[float], goal: float | None) -> str:
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0], 0, ratios[0])
    wanted = "" if goal is None else f", goal {goal:.2f}"
    return f"{median(ratios):.2f} × ({low:.2f}..{high:.2f}{wanted})"


def main() -> None:
    """Measure, and print a table."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.celery_door", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--only", metavar="WORDS", help="works whose titles have one of these words, separated by ;")
    parser.add_argument("--largest", type=int, default=10_000, metavar="N", help="leave out works of more tasks")
    parser.add_argument("--systems", metavar="WORDS", help="the same for systems; plain Celery is always measured")
    parser.add_argument("--quick", action="store_true", help="small numbers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all ratios to this file")
    parser.add_argument("arguments", nargs="*", help="for Celery's workers, after --")
    asked = parser.parse_args()
    works = tuple(
        work for work in (QUICK if asked.quick else WORKS)
        if _is_named(work.title, asked.only) and work.size <= asked.largest
    )  # fmt: skip
    durable = [f"{database}, {fence}" for database in ("SQLite", "PostgreSQL") for fence in ("suspect", "always")]
    wanted = [PLAIN, *(name for name in durable if _is_named(name, asked.systems))]
    signal.signal(signal.SIGTERM, _stop)
    with systems(wanted, asked.arguments) as (found, broker):
        measure(found, broker, works, 1 if asked.quick else asked.rounds)
        print("\n" + table(found, works))
        if asked.json is not None:
            asked.json.write_text(json.dumps({system.name: system.ratios for system in found}, indent=1))


def _stop(*_: object) -> None:
    """Stop what was started; a second signal, as `timeout` sends it, does not interrupt that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _is_named(title: str, words: str | None) -> bool:
    return words is None or any(word.strip() in title for word in words.split(";"))


if __name__ == "__main__":
    main()
