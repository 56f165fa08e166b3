"""The storm itself: it starts runs, runs the disturbances and the controllers, and judges what is left."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segue import Segue
from segue.client import Run
from segue.errors import PASSING_ERRORS, SegueError, StoreError
from segue.model import RunStatus
from tests.crash.fuzz import doomed, layered
from tests.crash.ledger import Ledger
from tests.crash.storm import hostile
from tests.crash.storm.disturbances import Disturbances
from tests.crash.storm.verbs import Controllers
from tests.crash.worker_processes import WorkerProcess, WorkerProcesses
from tests.servers.postgres import PostgresServer

POOLS = (("process", 3, "default,process"), ("thread", 4, "default"), ("async", 6, "default"))
LEASE_SECONDS = 3.0
BACKLOG = 40  # runs that are open at most
BLOW_SECONDS = (0.3, 2.0)
RESTART_SECONDS = 90.0
CHECK_SECONDS = 10.0
DRAIN_SECONDS = 240.0
KILLED_AT_ITS_START = "ended with exit code -9 before it had"
"""What a worker says whose zygote was killed before it had imported the tasks: it cannot begin, and ends."""
AWAY_SECONDS = 30.0  # how long the database may be away from this process


@dataclass(frozen=True)
class Kind:
    """A workflow, how its runs end when nobody steers them, and how often it is started."""

    workflow: Any
    ends: frozenset[str]
    weight: int = 1


SUCCEEDED, FAILED = frozenset({"succeeded"}), frozenset({"failed"})
KINDS = (
    Kind(layered, SUCCEEDED, 3), Kind(doomed, FAILED), Kind(hostile.hostile, SUCCEEDED, 4),
    Kind(hostile.astray, FAILED, 2),
    Kind(hostile.limited, SUCCEEDED, 2), Kind(hostile.asking, SUCCEEDED), Kind(hostile.descending, SUCCEEDED),
    Kind(hostile.commanding, SUCCEEDED), Kind(hostile.wandering_off, SUCCEEDED),
)  # fmt: skip


class Storm:
    """One storm: what it did (`counts`), and what it found (`wrong`)."""

    def __init__(
        self,
        segue: Segue,
        ledger: Ledger,
        crew: WorkerProcesses,
        url: str,
        server: PostgresServer | None,
        chance: random.Random,
    ) -> None:
        self._segue = segue
        self._ledger = ledger
        self._crew = crew
        self._chance = chance
        self._disturbances = Disturbances(url, chance, server)
        self._controllers = Controllers(segue, chance.randrange(10**9))
        self._living: list[WorkerProcess] = []
        self._pool_of: dict[int, str] = {}  # by process id
        self._open: dict[str, Kind] = {}
        self._ended: dict[str, Kind] = {}
        self._counts: Counter[str] = Counter()
        self._wrong: list[str] = []

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be."""
        return self._wrong + self._controllers.wrong

    def report(self) -> list[str]:
        """What happened, in lines."""
        counts = self._counts + self._controllers.counts + self._disturbances.counts
        lines = [f"  {count:>8,}  {what}" for what, count in sorted(counts.items())]
        return [*lines, f"  {len(self.wrong):>8,}  wrong", *self.wrong[:20]]

    def rage(self, seconds: float) -> None:
        """Storm for so long; then let everything come to its end, and look at it."""
        end = time.monotonic() + seconds
        due = {"blow": 0.0, "restart": time.monotonic() + RESTART_SECONDS, "check": time.monotonic() + CHECK_SECONDS}
        self._controllers.begin()
        try:
            while (now := time.monotonic()) < end and not self.wrong:
                self._hire()
                if now >= due["blow"]:
                    self._disturbances.strike(self._living)
                    due["blow"] = now + self._chance.uniform(*BLOW_SECONDS)
                if now >= due["restart"]:
                    self._disturbances.restart()
                    due["restart"] = now + RESTART_SECONDS
                if now >= due["check"]:
                    self._check()
                    due["check"] = now + CHECK_SECONDS
                self._start()
                self._see_what_ended()
                time.sleep(0.02)
        finally:
            self._controllers.end()
        self._drain()
        self._check()
        self._dismiss()
        self._ledger.close()
        for run_id, kind in self._ended.items():
            self._judge(run_id, kind)

    def _hire(self) -> None:
        for worker in self._living:
            if not worker.is_alive and worker.pid not in self._disturbances.ended_by_us:
                if KILLED_AT_ITS_START in worker.log():
                    self._counts["killed at its start"] += 1
                    continue
                self._wrong.append(f"worker {worker.pid} ended by itself:\n{worker.log()[-2000:]}")
        self._living = [worker for worker in self._living if worker.is_alive]
        at_work = {self._pool_of[worker.pid] for worker in self._living}
        for pool, places, queues in POOLS:
            if pool not in at_work:
                worker = self._crew.start_without_waiting(
                    lease_seconds=LEASE_SECONDS, module="tests.crash.storm.hostile", pool=pool, places=places,
                    queues=queues,
                )  # fmt: skip
                self._living.append(worker)
                self._pool_of[worker.pid] = pool
                self._counts["workers"] += 1

    def _start(self) -> None:
        while len(self._open) < BACKLOG:
            kind = self._chance.choices(KINDS, weights=[kind.weight for kind in KINDS])[0]
            seed = self._chance.randrange(10**9)
            key = str(seed) if self._chance.random() < 0.3 else None
            tags = [f"shelf-{seed % 20}"]
            run = self._patiently(lambda: self._segue.start(kind.workflow, seed, key=key, tags=tags))  # noqa: B023
            if run is None:
                return
            self._open[run.id] = kind
            self._counts["runs"] += 1
            self._controllers.hear_of(run.id)

    def _see_what_ended(self) -> None:
        for run_id in self._chance.sample(sorted(self._open), min(10, len(self._open))):
            if self._patiently(lambda: self._segue.get(run_id).status.is_final):  # noqa: B023
                self._ended[run_id] = self._open.pop(run_id)
        for run_id in self._controllers.forks - self._open.keys() - self._ended.keys():
            self._open[run_id] = Kind(layered, SUCCEEDED)
            self._controllers.touched.add(run_id)

    def _check(self) -> None:
        self._counts["checks"] += 1
        found = self._patiently(self._segue.engine.broken_invariants) or []
        self._wrong += [f"{run_id}: {what}" for run_id, what in found]
        limits = self._patiently(self._segue.limits.list) or []
        self._wrong += [
            f"limit {limit.name} has {limit.used} in {limit.concurrency} places"
            for limit in limits if limit.name == "storm" and limit.concurrency and limit.used > limit.concurrency
        ]  # fmt: skip

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """The answer, however long the database is away within reason; None when it stays away."""
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return ask()
            except PASSING_ERRORS as error:
                self._counts[f"{type(error).__name__} of this process"] += 1
                if time.monotonic() > deadline:
                    self._wrong.append(f"the database stayed away: {error}")
                    return None
            except StoreError as error:
                self._wrong.append(f"the database refused: {error}")
                return None
            time.sleep(0.2)

    def _drain(self) -> None:
        """Resume what is paused, and wait for the end of everything."""
        deadline = time.monotonic() + DRAIN_SECONDS
        self._see_what_ended()
        for run_id in self._controllers.touched & self._ended.keys():  # it may have been reopened
            self._open[run_id] = self._ended.pop(run_id)
        while self._open and time.monotonic() < deadline and not self.wrong:
            self._hire()
            for run_id in list(self._open):
                run = self._segue.get(run_id)
                status = run.status
                if status is RunStatus.PAUSED:
                    run.resume()
                elif status.is_final:
                    self._ended[run_id] = self._open.pop(run_id)
            time.sleep(0.1)
        for run_id, kind in self._open.items():
            run = self._segue.get(run_id)
            self._wrong.append(f"{run_id} of {kind.workflow.name} did not end: {'; '.join(map(str, run.explain()))}")

    def _dismiss(self) -> None:
        """Stop the workers warm: they must all end, with 0."""
        for worker in self._living:
            if worker.is_alive:
                self._disturbances.ended_by_us.add(worker.pid)
                code = worker.end()
                if code != 0:
                    self._wrong.append(f"worker {worker.pid} ended with {code}:\n{worker.log()[-2000:]}")
        for worker in self._crew.workers:
            if "Traceback" in worker.log():
                self._wrong.append(f"worker {worker.pid} logged a traceback:\n{worker.log()[-3000:]}")

    def _judge(self, run_id: str, kind: Kind) -> None:
        run = self._segue.get(run_id)
        status = run.status.value
        self._counts[f"runs {status}"] += 1
        if run_id not in self._controllers.touched and status not in kind.ends:
            self._wrong.append(f"{run_id} of {kind.workflow.name} ended {status}: {run.info().error}")
        if run_id not in self._controllers.forks:
            try:
                self._check_ledger(run)
            except AssertionError as error:
                self._wrong.append(f"{run_id}: {error}")
        for attempt in run.attempts():
            self._counts[f"attempts {attempt.status}"] += 1
        self._counts["steps"] += sum(run.counts().values())
        try:
            if status == "succeeded":
                run.result()
        except SegueError as error:
            self._counts[f"results that cannot be read: {type(error).__name__}"] += 1

    def _check_ledger(self, run: Run) -> None:
        """No attempt was executed twice; of runs that nobody steered, what succeeded was done."""
        if run.id in self._controllers.touched:
            attempts = Counter(attempt for attempt, _ in self._ledger.lines("began", run.id))
            twice = [attempt for attempt, count in attempts.items() if count > 1]
            assert twice == [], f"executed twice: {twice}"
        else:
            self._ledger.check(run)
