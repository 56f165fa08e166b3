"""A soak of an executor that is polled: `python -m tests.executors.slurm.soak --minutes N [--postgres]`.

Two dispatchers, a worker and a platform, while dispatchers are killed, jobs are ended by somebody else, the database is
away, and the platform does whatever it does to its clients. In the end every run must have ended as it should, no
attempt may have begun twice, and no job may be left. What is particular to a platform is in its own folder.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from segue import Run, Segue
from segue.errors import StoreError
from tests.executors.pushing.processes import Process, start
from tests.servers.postgres import PostgresServer, create_database

FOLDER = "TEST_SOAK_FOLDER"
"""The variable that names the folder of a soak, where its attempts write into the ledger."""

MOST_UNENDED = 12
BETWEEN_BLOWS = (2.0, 9.0)  # seconds
END_SECONDS = 240.0  # for all runs to end, when no more blows fall
OPERATOR_SECONDS = 5.0


class Expected(NamedTuple):
    """A run, and how it should end."""

    run: Run
    kind: str
    status: str
    result: Any


def said(number: int) -> dict[str, Any]:
    """The result of a command that printed a number."""
    return {"exit_code": 0, "output": f"{number}\n"}


class Platform(Protocol):
    """What is particular to a platform."""

    blows: Sequence[Callable[[], object]]  # that only this platform has; a name is what is reported

    def environment(self) -> Mapping[str, str]:
        """What dispatchers and worker get besides the variables of this process."""

    def jobs(self) -> list[str]:
        """Jobs of Segue's that have not ended."""

    def end(self, job: str) -> None:
        """Somebody else ends a job."""

    def spoiled(self) -> str:
        """Which of its calls were spoiled, besides the blows."""

    def operate(self) -> None:
        """What an operator does: end what the platform holds for good, and so on."""


class Soak:
    """One soak. `wrong` is a list of what must not be."""

    def __init__(
        self, segue: Segue, tasks: ModuleType, platform: Platform, chance: random.Random, folder: Path,
        database: PostgresServer | None,
    ) -> None:  # fmt: skip
        self._segue = segue
        self._tasks = tasks
        self._platform = platform
        self._chance = chance
        self._folder = folder
        self._database = database
        self._processes: dict[str, Process] = {}
        self._runs: list[Expected] = []
        self._unended: dict[str, Expected] = {}
        self._operator_at = 0.0
        self._next: tuple[str, Any, int, str, Any] | None = None
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.wrong: list[str] = []

    def last(self, seconds: float) -> None:
        """Go on for that long, then let everything end and look at what came of it."""
        try:
            end, blow_at = time.monotonic() + seconds, time.monotonic() + 10.0
            while time.monotonic() < end:
                self._keep_up()
                self._start_runs()
                if time.monotonic() >= blow_at:
                    self._strike()
                    blow_at = time.monotonic() + self._chance.uniform(*BETWEEN_BLOWS)
                time.sleep(0.2)
            end = time.monotonic() + END_SECONDS
            while (self._unended or self._platform.jobs()) and time.monotonic() < end:
                self._keep_up()
                time.sleep(0.5)
            self._judge()
        finally:
            for process in self._processes.values():
                process.kill()

    def report(self) -> list[str]:
        """What happened, in lines of text."""
        begun = self._tasks.LEDGER.read_text().splitlines()
        steps = [step for expected in self._runs for step in expected.run.steps()]
        blows = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.kinds.items()))
        return [
            f"runs {len(self._runs)}: {kinds}",
            f"attempts that began {len(begun)}, steps {len(steps)}, lost {sum(step.losses for step in steps)}",
            f"blows {self.counts.total()}: {blows}",
            f"calls that were spoiled: {self._platform.spoiled()}",
            f"wrong {len(self.wrong)}",
            *self.wrong[:40],
        ]

    # While it lasts ---------------------------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        for name in ("dispatcher-1", "dispatcher-2", "worker"):
            if name not in self._processes or not self._processes[name].is_alive:
                self._processes[name] = start(
                    name, self._tasks.__name__, self._segue.url, self._folder, self._platform.environment()
                )  # fmt: skip
        for run_id, expected in list(self._unended.items()):
            try:
                if expected.kind == "lasting" and self._chance.random() < 0.05:
                    expected.run.cancel()
                if expected.run.status.is_final:
                    del self._unended[run_id]
            except StoreError:
                return
        if time.monotonic() >= self._operator_at:
            self._operator_at = time.monotonic() + OPERATOR_SECONDS
            self._platform.operate()

    def _start_runs(self) -> None:
        if len(self._unended) >= MOST_UNENDED:
            return
        tasks, number = self._tasks, self._chance.randrange(1, 9)
        kinds: dict[str, tuple[Any, int, str, Any]] = {
            "lone": (tasks.lone, number, "succeeded", number + 1),
            "wide": (tasks.wide, 2 * number, "succeeded", 2 * number),
            "deep": (tasks.deep, 2, "succeeded", said(7)),
            "failing": (tasks.failing, number, "failed", None),
            "lasting": (tasks.lasting, 3 * number, "cancelled or succeeded", said(0)),
            "mixed": (tasks.mixed, number, "succeeded", 2 * (2 * number + 1)),
        }
        if self._next is None:
            kind = self._chance.choices(sorted(kinds), weights=[4, 2, 2, 1, 1, 6])[0]
            self._next = (kind, *kinds[kind])
        kind, work, given, status, result = self._next
        try:
            run = self._segue.start(work, given, key=f"run-{len(self._runs)}")
        except StoreError:
            return  # the same again, with the same key
        self._next = None
        expected = Expected(run, kind, status, result)
        self._runs.append(expected)
        self._unended[run.id] = expected
        self.kinds[kind] += 1

    # Blows ------------------------------------------------------------------------------------------------------------

    def _strike(self) -> None:
        blows: list[Callable[[], object]] = [
            self.dispatcher_killed, self.dispatcher_killed, self.job_ended_by_somebody, self.database_away,
            *self._platform.blows,
        ]  # fmt: skip
        blow = self._chance.choice(blows)
        name = blow.__name__.replace("_", " ")
        self.counts[name] += 1
        with (self._folder / "blows.log").open("a") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S} {name}\n")
        blow()

    def dispatcher_killed(self) -> None:
        name = self._chance.choice(["dispatcher-1", "dispatcher-2"])
        if name in self._processes:
            self._processes[name].kill()

    def job_ended_by_somebody(self) -> None:
        """Of one that Segue knows: some platforms forget what is deleted, and it must not be searched for then."""
        steps = [step for expected in self._unended.values() for step in expected.run.steps()]
        known = {str(step.handle).rpartition("/")[2] for step in steps if step.handle}
        jobs = [job for job in self._platform.jobs() if job in known]
        if jobs:
            self._platform.end(self._chance.choice(jobs))

    def database_away(self) -> None:
        if self._database is not None:
            self._database.stop()
            time.sleep(self._chance.uniform(0.2, 3.0))
            self._database.start()
            return
        with self._segue.engine.store.transaction():  # the file is locked
            time.sleep(self._chance.uniform(0.2, 3.0))

    # The end ----------------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        for expected in self._runs:
            run, what = expected.run, f"{expected.kind} {expected.run.id}"
            if not run.status.is_final:
                self.wrong.append(f"{what} has not ended: {'; '.join(str(reason) for reason in run.explain())}")
            elif str(run.status) not in expected.status:
                said = [attempt.output[-1000:] for attempt in run.attempts() if attempt.output]
                self.wrong.append(f"{what} has {run.status}: {run.info().error}, and its attempts printed {said}")
            elif run.status == "succeeded" and run.result() != expected.result:
                self.wrong.append(f"{what} has the result {run.result()!r} instead of {expected.result!r}")
        begun = Counter(self._tasks.LEDGER.read_text().splitlines())
        self.wrong += [f"attempt {line} began {count} times" for line, count in begun.items() if count > 1]
        self.wrong += [f"job {job} is left" for job in self._platform.jobs()]
        self.wrong += [f"invariant: {broken}" for broken in self._segue.engine.broken_invariants()]


Open = Callable[[Path, str, random.Random], AbstractContextManager[Platform]]
"""Starts a platform for the soak in this folder, whose processes report to this database."""


def main(name: str, open_platform: Open) -> int:
    """Soak the platform as the command line says. Its tasks are in the module `tests.executors.<name>.soaked`."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.executors.{name}.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--keep", type=Path, help="keep the ledger and the logs in this folder")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-soak-")))
        (folder / "ledger").touch()
        os.environ[FOLDER] = str(folder)
        server = PostgresServer.create() if options.postgres else None
        url = f"sqlite:///{folder}/segue.db"
        if server is not None:
            stack.callback(server.remove)
            url = create_database(server.url)
        chance = random.Random(options.seed)
        platform = stack.enter_context(open_platform(folder, url, chance))
        tasks = importlib.import_module(f"tests.executors.{name}.soaked")
        segue = stack.enter_context(Segue(url))
        segue.upgrade()
        began = time.monotonic()
        soak = Soak(segue, tasks, platform, chance, folder, server)
        soak.last(options.minutes * 60)
        kind = f"{url.partition(':')[0]}, seed {options.seed}, {time.monotonic() - began:.0f} s"
        sys.stdout.write("\n".join([kind, *soak.report()]) + "\n")
        if options.keep:
            shutil.copytree(folder, options.keep, dirs_exist_ok=True)
        return 1 if soak.wrong else 0
