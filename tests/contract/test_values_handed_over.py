"""What is handed over at each door comes out equal at the other end of the database, or is refused at the door."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from segue import Debounce, Segue, chain, group, task, wait_for, workflow
from segue.authoring.schedule import Schedule
from segue.errors import RunFailedError, SegueError, SerializationError
from segue.model import StepStatus
from segue.scheduler.debouncing import start_due_debounces
from segue.scheduler.definition import define

pytestmark = pytest.mark.contract

DAY = date(2026, 11, 20)


class Size(Enum):
    SMALL = (1, 2)
    LARGE = (3, 4)


@dataclass
class Job:
    source: Path | int
    size: Size
    days: dict[date, Size | None]


@dataclass
class Gone:
    why: str


JOB = Job(Path("/a"), Size.LARGE, {DAY: Size.SMALL, date(2026, 1, 1): None})
got: list[Any] = []


@task(name="values.keep")
def keep(job: Job | Gone, *more: Job) -> Job | Gone:
    got.append((job, *more))
    return job


@task(name="values.keep_many")
def keep_many(jobs: dict[Size | str, list[Job | Gone]]) -> int:
    got.append(jobs)
    return len(jobs)


@task(name="values.any")
def anything(value: Any = None) -> Any:
    got.append(value)
    return value


@task(name="values.made")
def made(what: str) -> Any:
    sys.set_int_max_str_digits(0)
    try:
        return BAD[what]()
    finally:
        sys.set_int_max_str_digits(4300)


@task(name="values.typed")
def typed(what: str) -> list[Job]:
    return [JOB, Gone("no job")]  # type: ignore[list-item]


@workflow(name="values.beside")
def beside(job: Job) -> Job:
    first = keep(job)
    keep_many({"a": [first, Gone("x")], "b": [job, first]})
    return keep(first, job)


@workflow(name="values.scheduled")
def scheduled(job: Job | Gone, day: date) -> None:
    got.append((job, day))
    keep(job)


@workflow(name="values.many")
def many(jobs: list[Job | Gone]) -> None:
    got.append(jobs)
    keep(jobs[0])


@workflow(name="values.waits")
def waits() -> Any:
    return anything(wait_for("go", default={"at": DAY}))


@workflow(name="values.when")
def when(what: str) -> Any:
    return anything.options(when=made(what))(1)


def deep() -> Any:
    value: list[Any] = []
    for _ in range(3000):
        value = [value]
    return value


BAD: dict[str, Callable[[], Any]] = {
    "nan": lambda: {"rows": [1, math.nan]},
    "infinity": lambda: -math.inf,
    "large": lambda: [10**5000],
    "deep": deep,
    "half": lambda: "\ud800",
    "clash": lambda: {1: 1, "1": 2},
}


@pytest.fixture
def segue(database_url: str) -> Iterator[Segue]:
    got.clear()
    with Segue(database_url) as segue:
        yield segue


def test_arguments_and_results_come_back_equal(segue: Segue) -> None:
    assert segue.run(keep, JOB) == JOB
    assert segue.run(beside, JOB) == JOB
    assert got == [(JOB,), (JOB,), {"a": [JOB, Gone("x")], "b": [JOB, JOB]}, (JOB, JOB)]


def test_items_of_a_map_come_back_equal(segue: Segue) -> None:
    items = [JOB, Gone("y")]
    assert segue.run(keep.map(items)) == segue.run(keep.map(items, batch=2))
    assert segue.run(chain(group(keep.s(JOB), keep.s(Gone("y"))), keep.map())) == segue.run(keep.map(items))
    assert got == [(JOB,), (Gone("y"),)] * 5


def test_text_comes_back_equal(segue: Segue) -> None:
    for text in ("a\0b", "é\u2028\U0001f600", "\x7f\x01"):
        assert segue.run(anything, {text: [text]}) == {text: [text]}
        assert segue.run(chain(anything.s(text), anything.s())) == text


def test_a_result_that_could_not_be_read_fails_its_own_step(segue: Segue) -> None:
    for what in BAD:
        with pytest.raises(RunFailedError, match=r"made failed with SerializationError: result"):
            segue.run(when, what)
    assert got == []
    with pytest.raises(RunFailedError, match=r"SerializationError: result\[1\] of values.typed: "):
        segue.run(typed, "x")


DOORS: dict[str, Callable[[Segue, Any], Any]] = {
    "start": lambda segue, bad: segue.start(anything, bad),
    "start by name": lambda segue, bad: segue.start(anything, value=bad),
    "signature": lambda segue, bad: segue.start(chain(anything.s(), anything.si([bad]))),
    "map": lambda segue, bad: segue.start(anything.map([1, bad])),
    "map in batches": lambda segue, bad: segue.start(anything.map([1, bad], batch=2)),
    "default of a wait": lambda segue, bad: segue.start(wait_for("go", default={"x": bad})),
    "message": lambda segue, bad: segue.start(waits).send("go", [bad]),
    "metadata": lambda segue, bad: segue.start(anything, 1, metadata={"x": bad}),
    "annotation": lambda segue, bad: segue.annotate(segue.start(anything, 1), metadata={"x": bad}),
    "metadata of a step": lambda segue, bad: segue.start(anything.options(metadata={"x": bad}).s(1)),
    "schedule of a task": lambda segue, bad: segue.schedules.create("s", anything, bad, schedule="0 0 * * *"),
    "schedule of a workflow": lambda segue, bad: segue.schedules.create(
        "s", scheduled, bad, day=DAY, schedule="0 0 * * *"
    ),
    "debounce": lambda segue, bad: segue.start(anything, bad, debounce=Debounce(key="k", window=9)),
    "debounce of many": lambda segue, bad: segue.start(many, bad, debounce=Debounce(key="k", window=9, keep="all")),
    "edit": lambda segue, bad: segue.start(anything, 1).step(0).edit(bad),
    "edit by name": lambda segue, bad: segue.start(anything, 1).step(0).edit(value=bad),
    "fork": lambda segue, bad: segue.start(anything, 1).fork(0, args=[bad]),
    "mark": lambda segue, bad: segue.start(anything, 1).step(0).mark({"x": bad}),
}


def test_what_json_cannot_hold_is_refused_at_the_door(segue: Segue) -> None:
    for name, door in DOORS.items():
        for bad, said in (([1, math.nan], "NaN"), ({"a": "\ud800"}, "half of a character")):
            assert said in refusal(segue, name, door, bad)


def refusal(segue: Segue, name: str, door: Callable[[Segue, Any], Any], bad: Any) -> str:
    """What a door says to this value."""
    try:
        door(segue, bad)
    except SegueError as error:
        return str(error)
    raise AssertionError(f"{name} took {bad!r}")


TYPED_DOORS: dict[str, Callable[[Segue, Any], Any]] = {
    "start": lambda segue, bad: segue.start(keep, bad),
    "rest": lambda segue, bad: segue.start(keep, JOB, bad),
    "by name": lambda segue, bad: segue.start(keep, job=bad),
    "map": lambda segue, bad: segue.start(keep.map([JOB, bad])),
    "map in batches": lambda segue, bad: segue.start(keep.map([JOB, bad], batch=2)),
    "schedule": lambda segue, bad: segue.schedules.create("s", scheduled, bad, day=DAY, schedule="0 0 * * *"),
    "debounce": lambda segue, bad: segue.start(keep, bad, debounce=Debounce(key="k", window=9)),
    "debounce of many": lambda segue, bad: segue.start(many, bad, debounce=Debounce(key="k", window=9, keep="all")),
    "edit": lambda segue, bad: segue.start(keep, JOB).step(0).edit(bad),
    "edit by name": lambda segue, bad: segue.start(keep, JOB).step(0).edit(job=bad),
    "fork": lambda segue, bad: segue.start(keep, JOB).fork(0, args=[bad]),
}


def test_what_would_come_back_as_something_else_is_refused_at_the_door(segue: Segue) -> None:
    for name, door in TYPED_DOORS.items():
        for bad in (DAY, Size.SMALL, {"why": 5}, "text"):
            said = refusal(segue, name, door, bad)
            assert re.search(r"argument (job|\*1|jobs\[0\])(\.why)?( of|:) ", said), f"{name}: {said}"


def test_a_scheduled_workflow_is_called_with_what_was_given(segue: Segue) -> None:
    made = define(scheduled, [JOB], {"day": DAY}, Schedule("0 0 * * *"))
    made.plan_at(datetime(2026, 11, 20, tzinfo=UTC), "s")
    assert got == [(JOB, DAY)]


def test_a_debounced_workflow_is_called_with_what_was_given(segue: Segue) -> None:
    how = Debounce(key="k", window=timedelta(milliseconds=1), keep="all", most=2)
    segue.start(many, JOB, debounce=how)
    segue.start(many, Gone("x"), debounce=how)
    got.clear()  # each start has called it with its own
    while not got:
        start_due_debounces(segue.engine)
    assert got[-1] == [JOB, Gone("x")]


def test_an_edited_step_is_given_what_was_given(segue: Segue) -> None:
    run = segue.start(keep, JOB)
    run.step(0).edit(Gone("edited"))
    assert run.steps()[0].status is StepStatus.READY
    with pytest.raises(SerializationError, match="argument job of keep"):
        run.step(0).edit(job=DAY)
