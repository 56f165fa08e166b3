"""The soak: keeps runs and workers going, lets blows fall, and says in the end what was wrong."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from segue import Run, Segue
from segue.errors import SegueError, StoreError
from segue.plan.graph import Plan
from tests.executors.soaking.blows import Blows
from tests.executors.tallies import Tallied, read_ledger, wrongs
from tests.executors.tallying import Place, TallyingWorker

WORKERS = 3
MOST_UNENDED = 30
BETWEEN_BLOWS = (0.5, 4.0)  # seconds
ORPHAN_SECONDS = 20.0  # children may work on for so long without their main process; then a supervisor ends them
END_SECONDS = 180.0  # for all runs to end, when no more blows fall


class Project(NamedTuple):
    """What is soaked: what the runs of a number may be, their plans, and workers."""

    segue: Segue
    shapes: Callable[[int], Mapping[str, Callable[[], Tallied]]]
    plan: Callable[[Any], Plan]
    worker: Callable[[Place, int, str], TallyingWorker]  # with its number, and the seed of unsteady deliveries
    ends_with_children: bool = False  # a worker ends when one of its processes does


class Soak:
    """One soak on one database. `wrong` is a list of what must not be."""

    def __init__(self, project: Project, place: Place, blows: Blows, chance: random.Random) -> None:
        self._project = project
        self._segue = project.segue
        self._place = place
        self._blows = blows
        self._chance = chance
        self._workers: list[TallyingWorker] = []
        self._all_workers: list[TallyingWorker] = []
        self._orphans: list[tuple[float, TallyingWorker]] = []  # and until when they may work
        self._runs: dict[int, tuple[Run, Tallied, str]] = {}
        self._unended: set[int] = set()
        self._is_over = False
        self._next: tuple[str, Tallied, Plan] | None = None
        self.shapes: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()  # workers, by themselves
        self.wrong: list[str] = []

    def last(self, seconds: float) -> None:
        """Go on for that long, then let everything end and look at what came of it."""
        with (self._place.folder / "blows.log").open("w") as self._log:
            self._last(seconds)

    def _last(self, seconds: float) -> None:
        try:
            end, blow_at = time.monotonic() + seconds, time.monotonic() + 10.0
            while time.monotonic() < end:
                self._replace_workers()
                self._start_runs()
                self._see_what_ended()
                if time.monotonic() >= blow_at:
                    self._log.write(f"{datetime.now(UTC):%H:%M:%S} {self._blows.strike(self._living())}\n")
                    self._log.flush()
                    blow_at = time.monotonic() + self._chance.uniform(*BETWEEN_BLOWS)
                time.sleep(0.1)
            self._is_over = True
            self._let_all_end()
            self._judge()
        finally:
            for worker in self._all_workers:
                worker.kill()

    def report(self) -> list[str]:
        """What happened, in lines of text."""
        lines = [line for its in read_ledger(self._place.ledger).values() for line in its]
        words = sum(len(tallied.parents) for _, tallied, _ in self._runs.values())
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self._blows.counts.items()))
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.shapes.items()))
        return [
            f"runs {len(self._runs)}: {kinds}",
            f"steps with a line {words}, bodies that ran {len(lines)}, of these again {len(lines) - words}",
            f"workers started {len(self._all_workers)}, ended by themselves {dict(self.ended)}",
            f"blows {self._blows.counts.total()}: {counts}",
            f"wrong {len(self.wrong)}",
            *self.wrong[:40],
        ]

    def _living(self) -> list[TallyingWorker]:
        return [worker for worker in self._workers if worker.is_alive] or self._workers

    def _replace_workers(self) -> None:
        for worker in [worker for worker in self._workers if not worker.is_alive]:
            if worker.process.pid not in self._blows.stopped:
                self._ended_by_itself(worker)
            self._workers.remove(worker)
            self._orphans.append((time.monotonic() + ORPHAN_SECONDS, worker))
        while self._orphans and self._orphans[0][0] <= time.monotonic():
            self._orphans.pop(0)[1].kill()
        while len(self._workers) < WORKERS:
            number = len(self._all_workers)
            seed = str(self._chance.random()) if number % WORKERS == 0 and not self._is_over else ""
            self._workers.append(self._project.worker(self._place, number, seed))
            self._all_workers.append(self._workers[-1])

    def _ended_by_itself(self, worker: TallyingWorker) -> None:
        """Celery gives up if a child dies while it starts, or if kombu cannot close a broken connection; Dramatiq if
        any of its processes dies.
        """
        last = worker.log.read_text().rpartition("Traceback (most recent call last)")[2]
        self.ended["by its own" if last and "segue/" not in last else "otherwise"] += 1
        if "segue/" in last or (not last and not self._project.ends_with_children):
            self.wrong.append(f"{worker.log.name} ended by itself with {worker.process.returncode}")

    def _start_runs(self) -> None:
        while len(self._unended) < MOST_UNENDED:
            number = len(self._runs)
            made = self._project.shapes(number)
            if self._next is None:
                name = self._chance.choice(sorted(made))
                tallied = made[name]()
                self._next = (name, tallied, _patient(self._project.plan(tallied.work)))
            name, tallied, plan = self._next
            try:
                run = self._segue.start(plan, key=f"run-{number}")
            except StoreError:
                return  # the same again, with the same key
            self._next = None
            self._runs[number] = (run, tallied, name)
            self._unended.add(number)
            self.shapes[name] += 1

    def _see_what_ended(self) -> None:
        try:
            for number in list(self._unended):
                if self._runs[number][0].status in ("succeeded", "failed", "cancelled"):
                    self._unended.discard(number)
        except StoreError:
            return

    def _let_all_end(self) -> None:
        """No more blows: what was stopped or frozen is replaced, and all runs have to end."""
        time.sleep(10.0)  # the last of the frozen go on
        end = time.monotonic() + END_SECONDS
        while self._unended and time.monotonic() < end:
            self._replace_workers()
            self._see_what_ended()
            time.sleep(0.2)

    def _judge(self) -> None:
        lines = read_ledger(self._place.ledger)
        for number, (run, tallied, name) in self._runs.items():
            what = f"run {number} ({name}, {run.id})"
            if number in self._unended:
                reasons = "; ".join(str(reason) for reason in run.explain())
                self.wrong.append(f"{what} has not ended: {reasons}")
                continue
            if run.status != ("failed" if tallied.fails else "succeeded"):
                self.wrong.append(f"{what} has {run.status}: {run.info().error}")
                continue
            try:
                result: Any = None if tallied.fails else run.result()
            except SegueError as error:
                self.wrong.append(f"{what} has no result: {error}")
                continue
            found = wrongs(tallied, lines.get(number, []), result)
            self.wrong += [f"{what}: {each}" for each in found]
        self.wrong += [f"invariant: {broken}" for broken in self._segue.engine.broken_invariants()]


def _patient(plan: Plan) -> Plan:
    """The plan, with steps that may lose any number of workers."""
    nodes = tuple(replace(node, policy=replace(node.policy, lost_retries=1000)) for node in plan.nodes)
    return replace(plan, nodes=nodes)
