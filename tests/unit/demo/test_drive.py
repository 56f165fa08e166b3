"""How a run is watched and when its worker is killed, against a run that goes by script."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from rich.text import Text

from segue.demo.crew import Crew
from segue.demo.drive import POLL_SECONDS, STANDSTILL_SECONDS, Watch, WorkerEndedError
from segue.demo.live import Frame
from segue.model import RunStatus, StepStatus

WAITS = [sys.executable, "-c", "import signal; signal.pause()"]
ENDS = [sys.executable, "-c", "raise SystemExit('no such queue')"]


@dataclass(frozen=True)
class Step:
    name: str
    attempt: int = 1
    seconds: float | None = None


@dataclass
class ScriptedRun:
    """A run of which `done` steps more are final at each look, until all are."""

    done: list[int]
    total: int
    id: str = "01HX"
    look: int = -1
    works: bool = True

    @property
    def status(self) -> RunStatus:
        self.look = min(self.look + 1, len(self.done) - 1)
        return RunStatus.SUCCEEDED if self.done[self.look] == self.total else RunStatus.RUNNING

    def counts(self) -> Mapping[StepStatus, int]:
        done = self.done[self.look]
        running = min(2, self.total - done)
        return {
            StepStatus.SUCCEEDED: done,
            StepStatus.RUNNING: running,
            StepStatus.READY: self.total - done - running,
        }

    def steps(self, *, status: StepStatus | None = None, limit: int = 100) -> list[Step]:
        return [Step("parse[1]"), Step("parse[2]")][:limit] if self.works else []

    def explain(self) -> list[str]:
        return ["no worker knows the task"]


@dataclass
class Recorder:
    """A view that remembers what it was shown."""

    frames: list[Frame] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def show(self, frame: Frame) -> None:
        self.frames.append(frame)

    def say(self, message: Text) -> None:
        self.said.append(message.plain)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class Hands:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def read(self) -> float:
        return self.seconds


def follow(
    run: ScriptedRun, tmp_path: Path, *, crash: bool, command: list[str] = WAITS
) -> tuple[Watch, Recorder, float]:
    view, hands = Recorder(), Hands()
    with Crew(command, database="", log=tmp_path / "worker.log") as crew:
        crew.hire()
        watch = Watch(run, crew, view, crash, 2)
        seconds = watch.follow(clock=hands.read, sleep=hands.sleep)
    return watch, view, seconds


def test_a_run_is_shown_until_it_ends(tmp_path: Path) -> None:
    watch, view, seconds = follow(ScriptedRun([0, 30, 60, 100], 100), tmp_path, crash=False)
    assert [frame.done for frame in view.frames] == [0, 30, 60, 100]
    assert view.frames[1].per_second == pytest.approx(30 / POLL_SECONDS)
    assert StepStatus.READY not in view.frames[-1].counts
    assert seconds == pytest.approx(3 * POLL_SECONDS)
    assert (watch.killed, watch.crew.hired) == (False, 1)


def test_the_worker_is_killed_once_when_half_of_the_steps_are_done(tmp_path: Path) -> None:
    watch, view, _ = follow(ScriptedRun([0, 49, 51, 60, 100], 100), tmp_path, crash=True)
    assert (watch.killed, watch.crew.hired) == (True, 2)
    killed, hired = view.said
    assert f"to worker {view.frames[0].worker.removeprefix('worker ')}" in killed
    assert "held 2 running steps" in killed
    assert "49 steps are not finished" in killed
    assert f"{view.frames[-1].worker} takes over" in hired.removeprefix("▶ ")


@pytest.mark.parametrize(
    "done, total",
    [([0, 2, 4], 4), ([0, 10, 100], 100)],
    ids=["the fan-out is not known yet", "it went too fast"],
)
def test_nothing_is_killed_when_there_is_no_half_way(tmp_path: Path, done: list[int], total: int) -> None:
    watch, view, _ = follow(ScriptedRun(done, total), tmp_path, crash=True)
    assert not watch.killed
    assert view.said == []


def test_a_standstill_is_explained_once_in_a_while(tmp_path: Path) -> None:
    looks = round(2.5 * STANDSTILL_SECONDS / POLL_SECONDS)
    _, view, _ = follow(ScriptedRun([1] * looks + [10], 10, works=False), tmp_path, crash=False)
    assert view.said == ["… no worker knows the task"] * 2


def test_a_long_step_is_no_standstill(tmp_path: Path) -> None:
    looks = round(2.5 * STANDSTILL_SECONDS / POLL_SECONDS)
    _, view, _ = follow(ScriptedRun([1] * looks + [10], 10), tmp_path, crash=False)
    assert view.said == []


def test_a_worker_that_ends_by_itself_is_an_error_that_says_why(tmp_path: Path) -> None:
    run = ScriptedRun([0] * 1000 + [10], 10)
    with Crew(ENDS, database="", log=tmp_path / "worker.log") as crew:
        crew.hire()
        assert crew._worker is not None
        crew._worker.wait(30)
        with pytest.raises(WorkerEndedError, match=r"run 01HX ended with exit code 1(.|\n)*no such queue"):
            Watch(run, crew, Recorder(), False, 2).follow(clock=lambda: 0.0, sleep=lambda _: None)
