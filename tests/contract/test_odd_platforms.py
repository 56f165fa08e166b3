"""Platforms that say odd things, and executors with bugs: one step at most is hurt, and people learn why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pytest

from segue.dispatcher.dispatcher import CHORES_SECONDS, Dispatcher
from segue.dispatcher.protocol import BlindError, Cause, Collected, Phase, Push, Sighting
from segue.engine.control import cancel_run
from segue.model import Outcome, Verdict
from segue.plan.graph import Node, Plan
from segue.testing import ScriptedPlatform
from tests.contract.stage import Stage

ODD = ("a\0b", "x" * 1_000_000, "\x1b[2J\r\n\ufffe\U0001f4a5", "\udc80 half", "", " ")


@pytest.fixture
def stage(renewed_stage: Stage) -> Iterator[Stage]:
    yield renewed_stage
    assert renewed_stage.engine.broken_invariants() == []


def flow() -> Plan:
    return Plan("flow", (Node("a", "work", queue="@far", executor="far"),))


class OddPlatform(ScriptedPlatform):
    """One that has the same odd text for everything."""

    said = ""

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        for seen in super().look(pushes):
            yield seen._replace(reason=self.said, host=self.said)

    def collect(self, push: Push) -> Collected:
        return super().collect(push)._replace(output=self.said, result=self.said.encode("utf-8", "replace"))


@pytest.mark.parametrize("said", ODD, ids=["nul", "long", "control", "half", "empty", "blank"])
@pytest.mark.parametrize("cause", [Cause.EXIT, Cause.CONFIG, Cause.LOST, None])
def test_odd_words_are_recorded(stage: Stage, said: str, cause: Cause | None) -> None:
    far = OddPlatform()
    far.said = said
    dispatcher = Dispatcher(stage.engine, far, monotonic=stage.clock.monotonic)
    run_id = stage.start(flow())
    for _ in range(12):
        dispatcher.run_once()
        for job in far.alive():
            if job.phase is Phase.QUEUED:
                far.begin(job)
            elif cause is None:
                far.succeed(job)
            else:
                far.end(job, cause, exit_code=1)
        stage.advance(30)
        if stage.run(run_id).status.is_final:
            break
    assert stage.run(run_id).status == ("failed" if cause is not None else "succeeded")


class BrokenPlatform(ScriptedPlatform):
    """One whose executor has a bug in one of its calls."""

    broken = ""

    def _ask(self, what: str) -> None:
        super()._ask(what)
        if what == self.broken:
            raise KeyError("of a bug")


@pytest.mark.parametrize("broken", ["find", "look", "collect", "cancel", "strays", "clean"])
def test_a_bug_of_an_executor_is_told_and_stops_nothing_else(stage: Stage, broken: str) -> None:
    far = BrokenPlatform()
    far.broken = broken
    dispatcher = Dispatcher(stage.engine, far, monotonic=stage.clock.monotonic)
    first = stage.start(flow())
    dispatcher.run_once()
    [job] = far.alive()
    stage.engine.act(cancel_run, first)
    second = stage.start(flow())
    for _ in range(3):
        stage.advance(CHORES_SECONDS + 1)
        dispatcher.run_once()
    assert stage.step(second, "a").handle, "it is submitted although another call fails"
    assert (dispatcher.blind_since is not None) == (broken in ("look", "cancel", "strays"))
    far.broken = ""
    far.end(job, Cause.CANCELLED)
    far.succeed(next(iter(far.alive())), "1")
    for _ in range(5):
        stage.advance(CHORES_SECONDS)
        dispatcher.run_once()
    assert (stage.run(first).status, stage.run(second).status) == ("cancelled", "succeeded")
    assert dispatcher.blind_since is None


def test_a_late_and_a_double_answer(stage: Stage) -> None:
    far = ScriptedPlatform("far")
    dispatcher = Dispatcher(stage.engine, far, monotonic=stage.clock.monotonic)
    run_id = stage.start(flow())
    dispatcher.run_once()
    [job] = far.alive()
    once, nobody = far.look, Sighting("00000000-0000-0000-0000-00000000dead", Phase.GONE)
    far.look = lambda pushes: [*once(pushes), *once(pushes), nobody]  # type: ignore[method-assign]
    far.leave(job, Outcome(run_id, 0, 1, Verdict.SUCCEEDED, "1"))
    far.end(job, Cause.EXIT, exit_code=0)
    dispatcher.run_once()
    assert stage.run(run_id).status == "succeeded"


class Unreadable(ScriptedPlatform):
    """One at which what some attempts left cannot be read, because their machines are silent."""

    def __init__(self) -> None:
        super().__init__("far")
        self.silent: set[str] = set()

    def collect(self, push: Push) -> Collected:
        if push.external_id in self.silent:
            raise BlindError("its machine is silent")
        return super().collect(push)


def test_attempts_that_cannot_be_read_keep_no_others_from_ending(stage: Stage) -> None:
    far = Unreadable()
    dispatcher = Dispatcher(stage.engine, far, monotonic=stage.clock.monotonic)
    runs = [stage.start(flow()) for _ in range(8)]
    dispatcher.run_once()
    for job in far.alive():
        far.succeed(job)
    far.silent = set(list(far.jobs)[:5])
    for _ in range(4):
        dispatcher.run_once()
        stage.advance(60)
    assert sorted(stage.run(run_id).status for run_id in runs) == ["pending"] * 5 + ["succeeded"] * 3
    assert dispatcher.blind_since is not None
    far.silent.clear()
    settled = [dispatcher.run_once() for _ in range(3)]
    assert {stage.run(run_id).status for run_id in runs} == {"succeeded"}, settled
    assert dispatcher.blind_since is None
