"""What the benchmarks of executors share: workers and clients of several systems, measured in turns.

Each system has a worker of its own, which stays, and a client, which is a module that reads works from its input, a
JSON list [work, size] in each line, and answers with a number: less is better. A figure is a ratio to another system
that was measured right before or after, so that other load on the machine affects both.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median, quantiles
from types import MappingProxyType
from typing import NamedTuple

from redis import Redis

from segue.bench.timestamps import FOLDER_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
LOOK_SECONDS = 0.01
START_SECONDS = 60
LARGE = 10_000
"""Works of so many tasks are done in a quarter of the rounds, and the broker's memory is measured."""


class Work(NamedTuple):
    """One line of the table. `goals` are ratios to the system that it is compared with, by words in a system's name."""

    name: str
    size: int
    title: str
    repeats: int = 1  # in each turn
    goals: Mapping[str, float] = MappingProxyType({})
    base: int = 0  # which of the systems it is compared with

    def goal(self, system: str) -> float | None:
        """What is wanted of a system."""
        return next((goal for word, goal in self.goals.items() if word in system), None)


class Memory(NamedTuple):
    """The line of the broker's memory, at large works: as a ratio, or in megabytes."""

    title: str
    goal: float
    is_ratio: bool


class System:
    """A worker and a client of one system. `ready` is in the worker's log `times` times when it has started."""

    def __init__(
        self, name: str, settings: Mapping[str, str], folder: Path, *, worker: Sequence[str], client: str, ready: str,
        times: int = 1,
    ) -> None:  # fmt: skip
        self.name = name
        self.ratios: dict[str, list[float]] = {}
        self._ready, self._times = ready, times
        marks = folder / "marks"
        marks.mkdir()
        environment = {**os.environ, **settings, FOLDER_VARIABLE: str(marks), "PYTHONPATH": str(ROOT)}
        self.log = folder / "worker.log"
        with self.log.open("wb") as log:
            self.worker = subprocess.Popen(
                [sys.executable, *worker], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._client = subprocess.Popen(
            [sys.executable, "-m", client], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait(self) -> None:
        """Wait until the worker is ready."""
        end = time.monotonic() + START_SECONDS
        while self.log.read_text().count(self._ready) < self._times:
            if self.worker.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"The worker of {self.name} did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def note(self, title: str, figure: float) -> None:
        """Keep a figure."""
        self.ratios.setdefault(title, []).append(figure)

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


def measure(found: list[System], broker: str, works: Sequence[Work], memory: Memory, rounds: int) -> None:
    """Measure each system and the one that it is compared with one right after the other."""
    for system in found:
        for name in {work.name for work in works}:
            system.measure(name, 20)  # a warm-up
    for number in range(rounds):
        for work in works:
            is_large = work.size >= LARGE
            if is_large and number >= max(rounds // 4, 1):
                continue
            base = found[work.base]
            for system in found:
                if system is base:
                    continue
                for repeat in range(work.repeats):
                    pair = [base, system][:: -1 if (number + repeat) % 2 else 1]
                    _measure_pair(base, system, pair, broker if is_large else None, work, memory)
        print(f"round {number + 1} of {rounds}\n{table(found, works, memory)}", file=sys.stderr, flush=True)


def _measure_pair(
    base: System, system: System, pair: list[System], broker: str | None, work: Work, memory: Memory
) -> None:  # fmt: skip
    taken: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for each in pair:
        with Peak(broker) if broker is not None else nullcontext() as peak:
            taken[each.name] = each.measure(work.name, work.size)
        if peak is not None:
            peaks[each.name] = peak.bytes
    system.note(work.title, taken[system.name] / taken[base.name])
    if peaks:
        system.note(memory.title, peaks[system.name] / (peaks[base.name] if memory.is_ratio else 1e6))


def table(found: list[System], works: Sequence[Work], memory: Memory) -> str:
    """Ratios in Markdown: the median of each, and where the middle half of them lies."""
    lines = [["", *(system.name for system in found)], ["---"] * (len(found) + 1)]
    rows: list[tuple[str, Callable[[str], float | None], str]] = [(work.title, work.goal, " ×") for work in works]
    if any(memory.title in system.ratios for system in found):
        rows.append((memory.title, lambda _: memory.goal, " ×" if memory.is_ratio else " MB"))
    for title, goal, unit in rows:
        lines.append([title, *(_cell(system.ratios.get(title, []), goal(system.name), unit) for system in found)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(figures: list[float], goal: float | None, unit: str) -> str:
    if not figures:
        return "1" if unit == " ×" else ""
    low, _, high = quantiles(figures, n=4) if len(figures) > 1 else (figures[0], 0, figures[0])
    wanted = "" if goal is None else f", goal {goal:.2f}"
    return f"{median(figures):.2f}{unit} ({low:.2f}..{high:.2f}{wanted})"


def run(
    program: str, document: str, names: Sequence[str], works: Sequence[Work], memory: Memory,
    systems: Callable[[list[str], list[str]], AbstractContextManager[tuple[list[System], str]]],
) -> None:  # fmt: skip
    """Measure what the command line asks for, and print a table.

    `systems` starts the servers, and the systems of these names with these arguments for their workers; it yields them
    and the URL of the broker. Systems that a work is compared with are always measured.
    """
    parser = argparse.ArgumentParser(prog=program, description=document.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--only", metavar="WORDS", help="works whose titles have one of these words, separated by ;")
    parser.add_argument("--largest", type=int, default=LARGE, metavar="N", help="leave out works of more tasks")
    parser.add_argument("--systems", metavar="WORDS", help="the same for systems")
    parser.add_argument("--quick", action="store_true", help="small numbers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all ratios to this file")
    parser.add_argument("arguments", nargs="*", help="for the workers, after --")
    asked = parser.parse_args()
    quick = [
        Work(work.name, min(work.size, 100), f"{work.name}, {min(work.size, 100)}", 1, work.goals, work.base)
        for work in works if work.size < LARGE
    ]  # fmt: skip
    chosen = [
        work for work in (quick if asked.quick else works)
        if _is_named(work.title, asked.only) and work.size <= asked.largest
    ]  # fmt: skip
    bases = {work.base for work in works}
    wanted = [name for number, name in enumerate(names) if number in bases or _is_named(name, asked.systems)]
    signal.signal(signal.SIGTERM, _stop)
    with systems(wanted, asked.arguments) as (found, broker):
        measure(found, broker, chosen, memory, 1 if asked.quick else asked.rounds)
        print("\n" + table(found, chosen, memory))
        if asked.json is not None:
            asked.json.write_text(json.dumps({system.name: system.ratios for system in found}, indent=1))


def _stop(*_: object) -> None:
    """Stop what was started; a second signal, as `timeout` sends it, does not interrupt that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _is_named(title: str, words: str | None) -> bool:
    return words is None or any(word.strip() in title for word in words.split(";"))
