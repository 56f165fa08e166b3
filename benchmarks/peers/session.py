"""Measures one system once, in a separate process: `python -m benchmarks.peers.session NAME WORKS SIZES`.

SIZES is JSON. Prints one JSON object as its last line: figure → values, or the problems.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.peers.rival import Rival, Workers, session_folder
from benchmarks.peers.roster import make
from segue.bench.timestamps import FOLDER_VARIABLE, Ledger, Mark, MeasureError, check_chain, check_fan

IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class Sizes:
    """The size of each workload."""

    chain: int = 40
    chains: int = 5
    fans: tuple[int, ...] = (1_000, 10_000)
    diamonds: int = 500
    drain: int = 5_000
    timeout_seconds: float = 240.0


QUICK = Sizes(chains=3, fans=(200,), diamonds=50, drain=500, timeout_seconds=60.0)


class Session:
    """The workloads of one rival."""

    def __init__(self, rival: Rival, sizes: Sizes, marks: Path) -> None:
        self._rival = rival
        self._sizes = sizes
        self._workers = Workers(rival)
        self._ledger = Ledger(marks)
        self._run = 0
        self.figures: dict[str, list[float]] = {}
        self.problems: list[str] = []

    def measure(self, works: list[str]) -> None:
        """Measure all workloads that the rival supports. Stops at a failure: leftovers would disturb the rest."""
        rival = self._rival
        rival.prepare()
        try:
            self._workers.start()
            self._submit(lambda run: rival.enqueue(run, 200), 200)
            self._submit(lambda run: rival.chain(run, 5), 5)
            for work in works:
                if work not in rival.cannot:
                    getattr(self, f"_{work}")()
        except MeasureError as error:
            self.problems.append(str(error))
        finally:
            self._workers.stop()
            rival.close()

    def _submit(self, submit: Callable[[int], None], count: int) -> tuple[float, list[Mark]]:
        self._run += 1
        begun = time.monotonic()
        submit(self._run)
        return begun, self._ledger.wait(self._run, count, timeout_seconds=self._sizes.timeout_seconds)

    def _note(self, figure: str, value: float) -> None:
        self.figures.setdefault(figure, []).append(value)

    def _chain(self) -> None:
        count = self._sizes.chain
        for _ in range(self._sizes.chains):
            time.sleep(IDLE_SECONDS)
            _, marks = self._submit(lambda run: self._rival.chain(run, count), count)
            check_chain(marks)
            self._note(f"chain of {count}, ms per step", (marks[-1].ended - marks[0].ended) / (count - 1) * 1000)

    def _fanout(self) -> None:
        for width in self._sizes.fans:
            begun, marks = self._submit(partial(self._rival.fan, width=width), width + 2)
            check_fan(marks)
            self._note(f"task → {width:,} → join, s", marks[-1].ended - begun)

    def _diamonds(self) -> None:
        count = self._sizes.diamonds
        begun, marks = self._submit(lambda run: self._rival.diamonds(run, count), 5 * count)
        for first in range(0, len(marks), 5):
            check_fan(marks[first : first + 5])
        seconds = max(mark.ended for mark in marks) - begun
        self._note(f"{count} diamonds, ms each", seconds / count * 1000)

    def _drain(self) -> None:
        count = self._sizes.drain
        self._workers.stop()
        self._run += 1
        begun = time.monotonic()
        self._rival.enqueue(self._run, count)
        self._note(f"enqueue {count:,} tasks, ms each", (time.monotonic() - begun) / count * 1000)
        self._workers.start()
        marks = self._ledger.wait(self._run, count, timeout_seconds=self._sizes.timeout_seconds)
        seconds = max(mark.ended for mark in marks) - min(mark.begun for mark in marks)
        self._note(f"drain {count:,} tasks, ms each", seconds / count * 1000)


def main(name: str, works: str, sizes: str) -> int:
    """Measure, and print the result."""
    marks = session_folder() / "marks"
    marks.mkdir()
    os.environ[FOLDER_VARIABLE] = str(marks)
    wanted = json.loads(sizes)
    rival = make(name)
    session = Session(rival, Sizes(**wanted | {"fans": tuple(wanted["fans"])}), marks)
    session.measure(works.split(","))
    print(json.dumps({"figures": session.figures, "problems": session.problems} | described(rival)))
    sys.stdout.flush()
    os._exit(0)  # some rivals leave threads behind that would keep this process alive


def described(rival: Rival) -> dict[str, object]:
    """The facts about a rival that the table shows."""
    return {"setting": rival.setting, "durable": rival.durable, "notes": rival.notes, "cannot": rival.cannot}


def as_json(sizes: Sizes) -> str:
    """For the command line of a session."""
    return json.dumps(asdict(sizes))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
