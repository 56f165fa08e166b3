"""Runs and steps as users hold them: retry, fork, skip, mark and edit, with real tasks worked in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from segue import Run, Segue, StepHandle, task, wait_for, workflow
from segue.authoring import declared
from segue.errors import (
    ConfigError,
    PlanError,
    ResultTooLargeError,
    RunFailedError,
    RunNotFoundError,
    RunStateError,
    SerializationError,
    StepNotFoundError,
)  # fmt: skip
from segue.loop import pace
from segue.model import RunStatus, StepStatus
from segue.worker.pool.inline import InlinePool
from segue.worker.worker import Worker, WorkerOptions

broken: set[str] = set()  # the names of what fails now


@dataclass
class Report:
    rows: int
    source: str = "here"


@task
def paths(day: str) -> list[str]:
    return [f"{day}/{number}" for number in range(3)]


@task
def gauge(path: str, factor: int = 1) -> int:
    if path in broken:
        raise OSError(f"{path} cannot be read")
    return len(path) * factor


@task
def report(counts: list[int]) -> Report:
    return Report(sum(counts))


@task
def publish(made: Report) -> str:
    assert isinstance(made, Report)
    return f"{made.rows} from {made.source}"


@workflow
def nightly(day: str) -> str:
    return publish(report(gauge.map(paths(day))))


@workflow
def approved(day: str) -> str:
    return publish.options(after=[wait_for("approved")])(report(gauge.map(paths(day))))


@pytest.fixture(autouse=True)
def everything_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "TIMERS_SECONDS", 0.0)  # a worker knows soon that there is nothing left
    broken.clear()


def work(segue: Segue, run: Run) -> Run:
    """Work until nothing can be claimed."""
    options = WorkerOptions(concurrency=1, pool="inline", burst=True)
    Worker(segue.engine, InlinePool(echo=False), tasks=sorted(declared.tasks), options=options).run()
    assert segue.engine.broken_invariants() == []
    return run


def failed(segue: Segue) -> Run:
    broken.add("day/1")
    run = work(segue, segue.start(nightly, "day"))
    assert run.status is RunStatus.FAILED
    broken.clear()
    return run


def test_a_run_is_retried(segue: Segue) -> None:
    run = failed(segue)
    with pytest.raises(RunFailedError, match=r"gauge.map failed with OSError: in gauge\[1\]: day/1 cannot be read"):
        run.result()
    assert run.retry(reason="the disk is back", actor="ann") is RunStatus.RUNNING
    assert work(segue, run).result() == "15 from here"
    assert run.retry() is RunStatus.SUCCEEDED
    assert [attempt.error.message for attempt in run.attempts() if attempt.error] == ["day/1 cannot be read"]
    assert run.retry(from_="report") is RunStatus.RUNNING
    assert work(segue, run).result() == "15 from here"
    assert run.step("report").info().attempt == 2
    [first, second] = segue.events.list(run.id)
    assert (first.step_name, first.detail) == ("report", {"steps": 2})
    assert (second.kind, second.detail) == ("run.retried", {"actor": "ann", "reason": "the disk is back", "steps": 3})


def test_what_failed_is_retried_by_a_filter(segue: Segue) -> None:
    runs = [failed(segue) for _ in range(2)]
    cancelled = segue.start(nightly, "day")
    cancelled.cancel()
    applied = segue.select(workflow=nightly.name).retry(reason="again")
    assert (applied.changed, applied.unchanged, applied.errors) == (2, 0, {})
    assert [work(segue, run).status for run in runs] == [RunStatus.SUCCEEDED] * 2
    assert cancelled.status is RunStatus.CANCELLED
    assert segue.select(status="cancelled").retry().changed == 1
    assert work(segue, cancelled).result() == "15 from here"


def test_results_that_people_give_are_typed_like_others(segue: Segue) -> None:
    run = failed(segue)
    assert run.step("report").mark(Report(7, "by hand"), reason="counted on paper") is RunStatus.RUNNING
    assert work(segue, run).status is RunStatus.FAILED  # a step before it failed, and that counts
    assert run.step("gauge.map").mark([1, 2, 4]) is RunStatus.SUCCEEDED
    assert run.result() == "7 from by hand"
    with pytest.raises(SerializationError):
        run.step("report").mark(object())
    with pytest.raises(ResultTooLargeError, match=r"may be 16,777,216"):
        run.step("report").mark("x" * 2**24)
    with pytest.raises(RunStateError, match="with another result"):
        run.step("report").mark(Report(8))


def test_a_step_is_skipped_and_edited(segue: Segue) -> None:
    run = failed(segue)
    step = run.step("gauge[1]")
    assert isinstance(step, StepHandle)
    assert (step.info().status, step.info().name) == (StepStatus.FAILED, "gauge[1]")
    with pytest.raises(PlanError, match="Call it as gauge"):
        step.edit("day/1", size=3)
    assert step.edit("day/10", factor=10) is RunStatus.FAILED
    run.retry()
    assert work(segue, run).result() == "70 from here"
    other = failed(segue)
    assert other.step("gauge[1]").skip() is RunStatus.RUNNING
    with pytest.raises(RunFailedError):
        work(segue, other).result()  # null is no number: the report cannot add it up


def test_a_run_is_forked_with_other_arguments(segue: Segue) -> None:
    run = work(segue, segue.start(nightly, "day", tags=["first"]))
    fork = run.fork("gauge[1]", args=["a longer path"], kwargs={"factor": 2}, key="longer", tags=["second"])
    assert work(segue, fork).result() == f"{10 + 26} from here"
    assert run.result() == "15 from here"
    info = fork.info()
    assert (info.forked_from, info.key, info.tags) == (run.id, "longer", ("first", "second"))
    assert run.fork("paths", key="longer").id == fork.id
    assert work(segue, run.fork("publish")).result() == "15 from here"
    with pytest.raises(PlanError):
        run.fork("gauge[1]", kwargs={"size": 2})
    with pytest.raises(ConfigError):
        run.fork("gauge[1]", key="")
    assert [event.kind for event in segue.events.list(run.id)] == ["run.forked", "run.forked"]


def test_a_step_that_waits_is_marked(segue: Segue) -> None:
    run = work(segue, segue.start(approved, "day"))
    assert run.status is RunStatus.RUNNING
    run.step("approved").mark({"by": "hand"})
    assert work(segue, run).result() == "15 from here"
    assert run.step("approved").retry() is RunStatus.RUNNING
    assert work(segue, run).status is RunStatus.RUNNING
    run.send("approved")
    assert work(segue, run).result() == "15 from here"


@pytest.mark.parametrize("verb", ["info", "skip", "mark", "retry", "edit"])
def test_steps_that_are_not_there(segue: Segue, verb: str) -> None:
    run = segue.start(nightly, "day")
    arguments: tuple[Any, ...] = (1,) if verb == "edit" else ()
    for name in ("nobody", 99, "99", "#-1", 2**40):
        with pytest.raises(StepNotFoundError, match="has no step"):
            getattr(run.step(name), verb)(*arguments)
    assert run.step("#0").info().name == run.step(0).info().name == run.step("0").info().name
    gone = Run(segue.engine, "019b76da-0000-7000-8000-000000000000")
    if verb != "info":
        with pytest.raises(RunNotFoundError):
            getattr(gone.step(0), verb)(*arguments)
