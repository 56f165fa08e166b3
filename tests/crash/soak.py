"""Workers that are killed, frozen, stopped and replaced at random, for minutes: ``python -m tests.crash.soak``.

Random workflows are started all the time, some with a key and twice, some are cancelled. The invariants are checked
again and again; at the end every run must have come to its right end, with every execution of a task accounted for.
Exits with 1 when anything is wrong. It stops by itself: after `--minutes`, and then at most `DRAIN_SECONDS`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from segue import Segue
from segue.errors import StoreError
from tests.crash import crash_tasks
from tests.crash.fuzz import KINDS, Kind
from tests.crash.ledger import Ledger
from tests.crash.worker_processes import WorkerProcess, WorkerProcesses

WORKERS = 3
LEASE_SECONDS = 1.5
BLOW_SECONDS = (0.2, 1.5)  # between two blows
FROZEN_SECONDS = (0.2, 3.0)
BACKLOG = 60  # runs that wait at most
CHECK_SECONDS = 5.0
DRAIN_SECONDS = 120.0


class Soak:
    """One soak: what it did, and what it found."""

    def __init__(self, segue: Segue, ledger: Ledger, crew: WorkerProcesses, seed: int) -> None:
        self._segue = segue
        self._ledger = ledger
        self._crew = crew
        self._chance = random.Random(seed)
        self._living: list[WorkerProcess] = []
        self._open: dict[str, tuple[Kind, bool]] = {}  # runs, and whether they were cancelled
        self._ended: dict[str, tuple[Kind, bool]] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self, seconds: float) -> None:
        """Soak for so long, let everything come to its end, look at it."""
        end = time.monotonic() + seconds
        blow_at = check_at = 0.0
        while time.monotonic() < end and not self.wrong:
            self._hire()
            now = time.monotonic()
            if now >= blow_at:
                self._strike()
                blow_at = now + self._chance.uniform(*BLOW_SECONDS)
            if now >= check_at:
                self._check()
                check_at = now + CHECK_SECONDS
            self._start()
            self._see_what_ended()
            time.sleep(0.02)
        self._drain()
        self._check()
        for worker in self._living:
            worker.kill()
        self._ledger.close()
        for run_id, (kind, was_cancelled) in self._ended.items():
            self._judge(run_id, kind, was_cancelled)

    def _hire(self) -> None:
        self._living = [worker for worker in self._living if worker.is_alive]
        while len(self._living) < WORKERS:
            self._living.append(
                self._crew.start_without_waiting(lease_seconds=LEASE_SECONDS, module="tests.crash.fuzz")
            )
            self.counts["workers hired"] += 1

    def _strike(self) -> None:
        worker = self._chance.choice(self._living)
        match self._chance.choice(("kill", "kill", "freeze", "freeze", "terminate", "terminate twice")):
            case "kill":
                worker.kill()
                self.counts["SIGKILL"] += 1
            case "freeze":
                worker.send(signal.SIGSTOP)
                self.counts["SIGSTOP"] += 1
                # In a thread: a worker that froze inside a transaction on SQLite stops this one, too, until it goes on.
                thaw = threading.Timer(self._chance.uniform(*FROZEN_SECONDS), worker.send, [signal.SIGCONT])
                thaw.daemon = True
                thaw.start()
            case "terminate":
                worker.send(signal.SIGTERM)
                self.counts["SIGTERM"] += 1
            case "terminate twice":
                worker.send(signal.SIGTERM)
                worker.send(signal.SIGTERM)
                self.counts["SIGTERM twice"] += 1

    def _start(self) -> None:
        while len(self._open) < BACKLOG:
            kind = self._chance.choices(KINDS, weights=(9, 1))[0]
            seed = self._chance.randrange(10**9)
            key = str(seed) if self._chance.random() < 0.3 else None
            try:
                run = self._segue.start(kind.workflow, seed, key=key)
                if key is not None and self._segue.start(kind.workflow, seed, key=key).id != run.id:
                    self.wrong.append(f"key {key} started two runs")
                was_cancelled = self._chance.random() < 0.05
                if was_cancelled:
                    run.cancel()
            except StoreError as error:
                self.wrong.append(f"start or cancel failed: {error}")
                return
            self._open[run.id] = (kind, was_cancelled)
            self.counts["runs"] += 1
            self.counts["cancelled"] += was_cancelled

    def _see_what_ended(self) -> None:
        for run_id in list(self._open)[:20]:
            if self._segue.get(run_id).status.is_final:
                self._ended[run_id] = self._open.pop(run_id)

    def _check(self) -> None:
        self.counts["checks"] += 1
        self.wrong += [f"{run_id}: {what}" for run_id, what in self._segue.engine.broken_invariants()]

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._open and time.monotonic() < deadline:
            self._hire()
            for run_id in list(self._open):
                if self._segue.get(run_id).status.is_final:
                    self._ended[run_id] = self._open.pop(run_id)
            time.sleep(0.1)
        for run_id in self._open:
            reasons = "; ".join(map(str, self._segue.get(run_id).explain()))
            self.wrong.append(f"{run_id} did not end: {reasons}")

    def _judge(self, run_id: str, kind: Kind, was_cancelled: bool) -> None:
        run = self._segue.get(run_id)
        status = run.status.value
        self.counts[f"runs {status}"] += 1
        if status not in kind.ends and not (was_cancelled and status == "cancelled"):
            self.wrong.append(f"{run_id} of {kind.workflow.name} ended {status}")
        try:
            self._ledger.check(run)
        except AssertionError as error:
            self.wrong.append(f"{run_id}: {error}")
        self.counts["steps"] += len(run.steps())
        for attempt in run.attempts():
            self.counts[f"attempts {attempt.status}"] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--database", help="an empty database; a new SQLite file when left out")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segue-soak-") as folder:
        ledger = Ledger(Path(folder) / "ledger")
        os.environ[crash_tasks.LEDGER] = str(ledger.path)
        url = options.database or f"sqlite:///{folder}/segue.db"
        began = time.monotonic()
        with Segue(url) as segue, WorkerProcesses(url, Path(folder)) as crew:
            soak = Soak(segue, ledger, crew, options.seed)
            soak.run(options.minutes * 60)
            crashed = [worker.log() for worker in crew.workers if "Traceback" in worker.log()]
        soak.wrong += [f"a worker crashed:\n{log[-2000:]}" for log in crashed]
        executions = len(ledger.lines("began"))
    words = [f"{url.partition(':')[0]}, seed {options.seed}, {time.monotonic() - began:.0f} s"]
    words += [f"  {count:>8,}  {what}" for what, count in sorted(soak.counts.items())]
    words += [f"  {executions:>8,}  executions of tasks", f"  {len(soak.wrong):>8,}  wrong"]
    sys.stdout.write("\n".join([*words, *soak.wrong[:20]]) + "\n")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
