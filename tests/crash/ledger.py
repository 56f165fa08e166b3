"""Reads what the tasks of `crash_tasks` wrote down, and compares it with what the database says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from segue import Run
from segue.model import StepStatus

Attempt = tuple[str, int, int]


class Ledger:
    """The file of one test; `clear` between runs keeps it short."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: dict[str, list[str]] | None = None
        path.touch()

    def clear(self) -> None:
        self.path.write_bytes(b"")

    def close(self) -> None:
        """Nothing is written any more, so it may be read once for all runs."""
        self._index = {}
        for line in self.path.read_text().splitlines():
            self._index.setdefault(line.partition(" ")[0], []).append(line)

    def lines(self, word: str, run_id: str | None = None) -> list[tuple[Attempt, str]]:
        """(attempt, name of the step) for each line with this word."""
        if self._index is not None and run_id is not None:
            lines = self._index.get(run_id, [])
        else:
            lines = self.path.read_text().splitlines()
        found = []
        for line in lines:
            run, step, attempt, name, last = line.split(" ")
            if last == word and run_id in (None, run):
                found.append(((run, int(step), int(attempt)), name))
        return found

    def began(self, run_id: str) -> Counter[str]:
        """How often steps were begun, by name without the number of a member."""
        return Counter(name.partition("[")[0].rpartition(".")[2] for _, name in self.lines("began", run_id))

    def check(self, run: Run) -> None:
        """Each attempt was executed once, and is on record; what succeeded was done by the very attempt that counts."""
        attempts = Counter(attempt for attempt, _ in self.lines("began", run.id))
        assert [attempt for attempt, count in attempts.items() if count > 1] == []
        steps = run.steps()
        on_record = {(attempt.step, attempt.attempt) for attempt in run.attempts()}
        on_record |= {(step.step, step.attempt) for step in steps}
        assert [attempt for attempt in attempts if attempt[1:] not in on_record] == []
        done = {(step, attempt) for (_, step, attempt), _ in self.lines("done", run.id)}
        for step in steps:
            if step.status is StepStatus.SUCCEEDED and step.task is not None and step.task.startswith("tests."):
                assert (step.step, step.attempt) in done, f"{step.name} succeeded without having been done"
