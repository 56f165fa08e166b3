"""`segue.start(..., debounce=...)`: from calls of users to the one run that comes of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from segue import Debounce, Segue, task, workflow
from segue.engine import debounce
from segue.engine.alarms import ring_alarms
from segue.errors import ConfigError, DefinitionError, PlanError, RunStateError, SerializationError
from segue.scheduler.debouncing import start_due_debounces
from segue.worker.inline import work_run
from tests.contract.stage import Stage


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


@task(name="debounce.doubled")
def double(number: int) -> int:
    return 2 * number


@task(name="debounce.added_up")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@workflow(name="debounce.all_doubled")
def squares(numbers: list[int]) -> Any:
    assert all(type(number) is int for number in numbers)  # the workflow's own code sees what was given
    return total([double(number) for number in numbers])


@pytest.fixture
def users(stage: Stage) -> Segue:
    segue = Segue(stage.store.url)
    segue.engine = stage.engine
    return segue


def pass_window(stage: Stage, seconds: float = 30) -> None:
    stage.advance(seconds)
    start_due_debounces(stage.engine)


def test_the_last_start_counts(users: Segue, stage: Stage) -> None:
    runs = [users.start(double, number, debounce=Debounce(key="k", window=30)) for number in (1, 2, 3)]
    assert len({run.id for run in runs}) == 1
    assert runs[0].status == "pending"
    pass_window(stage)
    work_run(stage.engine, runs[0].id)
    assert runs[0].result() == 6


def test_a_workflow_gets_the_list_of_what_all_were_given(users: Segue, stage: Stage) -> None:
    how = Debounce(key="k", window=timedelta(seconds=30), keep="all")
    runs = [users.start(squares, number, debounce=how) for number in (1, 2, 3)]
    pass_window(stage)
    work_run(stage.engine, runs[0].id)
    assert runs[-1].result() == 12
    assert stage.is_sound()


def test_a_task_gets_the_list_of_what_all_were_given(users: Segue, stage: Stage) -> None:
    runs = [users.start(total, number, debounce=Debounce(key="k", window=30, keep="all")) for number in (1, 2)]
    pass_window(stage)
    work_run(stage.engine, runs[0].id)
    assert runs[0].result() == 3


def test_a_workflow_that_refuses_the_list_fails_its_run_and_holds_up_no_other(users: Segue, stage: Stage) -> None:
    broken = users.start(refusing, 1, debounce=Debounce(key="k", window=30, keep="all"))
    users.start(refusing, 2, debounce=Debounce(key="k", window=30, keep="all"))
    sound = users.start(double, 1, debounce=Debounce(key="k", window=31))
    pass_window(stage, 31)
    assert broken.status == "failed"
    assert "two are too many" in str(broken.info().error)
    work_run(stage.engine, sound.id)
    assert sound.result() == 2
    assert stage.is_sound()


@workflow(name="debounce.refusing")
def refusing(numbers: list[int]) -> Any:
    if len(numbers) > 1:
        raise ValueError("two are too many")
    return total(numbers)


def test_the_run_has_its_tags_from_the_first_start_on(users: Segue, stage: Stage) -> None:
    run = users.start(double, 1, tags=["mine"], debounce=Debounce(key="k", window=30))
    assert run.info().tags == ("mine",)
    assert [found.id for found in users.runs(tag="mine")] == [run.id]


@pytest.mark.parametrize(
    "wrong, what",
    [
        ({"key": ""}, "cannot tell starts apart"),
        ({"window": 0}, "window=0"),
        ({"window": "soon"}, "window='soon'"),
        ({"keep": "none"}, "first, last, all"),
        ({"most": 0}, "most=0"),
        ({"longest": 60}, "restarts=True"),
    ],
)
def test_what_makes_no_sense_is_refused(users: Segue, wrong: dict[str, Any], what: str) -> None:
    how = Debounce(**({"key": "k", "window": 5} | wrong))
    with pytest.raises(ConfigError, match=what):
        users.start(double, 1, debounce=how)


def test_what_could_not_be_started_later_is_refused_now(users: Segue) -> None:
    with pytest.raises(ConfigError, match="exactly one positional"):
        users.start(double, number=1, debounce=Debounce(key="k", window=5, keep="all"))
    with pytest.raises((PlanError, DefinitionError)):
        users.start(double, 1, 2, 3, debounce=Debounce(key="k", window=5))
    with pytest.raises(ConfigError, match="both debounce= and key="):
        users.start(double, 1, key="x", debounce=Debounce(key="k", window=5))
    assert users.runs() == []


@pytest.mark.parametrize("keep, given", [("last", [1]), ("all", 1)])
def test_what_the_start_says_of_the_run_holds(users: Segue, stage: Stage, keep: str, given: Any) -> None:
    run = users.start(squares, given, deadline=60, debounce=Debounce(key="k", window=30, keep=keep))
    pass_window(stage)
    stage.advance(60)
    stage.engine.act(ring_alarms)
    assert run.status == "failed"
    assert "DeadlineExceeded" in str(run.info().error)


def test_its_labels_are_those_that_the_run_has_when_its_window_has_passed(users: Segue, stage: Stage) -> None:
    run = users.start(double, 1, tags=["first"], debounce=Debounce(key="k", window=30))
    users.start(double, 2, tags=["second"], debounce=Debounce(key="k", window=30))
    users.annotate(run, tags=["mine"], without=["first"])
    pass_window(stage)
    assert run.info().tags == ("mine",)
    found = {tag: [found.id for found in users.runs(tag=tag)] for tag in ("first", "second", "mine")}
    assert found == {"first": [], "second": [], "mine": [run.id]}


@workflow(name="debounce.garbled")
def garbled(numbers: list[int]) -> Any:
    if len(numbers) > 1:
        raise ValueError("nul \0, half a character \ud800")
    return total(numbers)


def test_an_error_that_no_database_holds_as_it_is_holds_up_no_other_run(users: Segue, stage: Stage) -> None:
    broken, _ = (users.start(garbled, 1, debounce=Debounce(key="k", window=30, keep="all")) for _ in range(2))
    sound = users.start(double, 1, debounce=Debounce(key="k", window=31))
    pass_window(stage, 31)
    assert "half a character" in str(broken.info().error)
    work_run(stage.engine, sound.id)
    assert sound.result() == 2


def test_a_start_for_which_the_run_has_no_room_is_refused_until_it_has_started(
    users: Segue, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debounce, "MOST_BYTES", 30)
    how = Debounce(key="k", window=30, keep="all")
    first = users.start(total, 1, debounce=how)
    users.start(total, 2, debounce=how)
    with pytest.raises(RunStateError, match=rf"run {first.id}.*start this one again"):
        users.start(total, 10**15, debounce=how)
    stage.advance(0.1)
    assert start_due_debounces(stage.engine) == 1  # it is due at once
    second = users.start(total, 10**15, debounce=how)
    work_run(stage.engine, first.id)
    assert first.result() == 3
    pass_window(stage)
    work_run(stage.engine, second.id)
    assert second.result() == 10**15


@pytest.mark.parametrize("work", [total, squares], ids=["task", "workflow"])
def test_a_start_that_would_spoil_the_list_of_all_is_refused(users: Segue, stage: Stage, work: Any) -> None:
    how = Debounce(key="k", window=30, keep="all")
    run = users.start(work, 1, debounce=how)
    with pytest.raises(SerializationError, match="numbers"):
        users.start(work, "no number", debounce=how)
    users.start(work, 2, debounce=how)
    pass_window(stage)
    work_run(stage.engine, run.id)
    assert run.result() == (3 if work is total else 6)


def test_the_run_is_shown_with_the_list_that_it_has(users: Segue, stage: Stage) -> None:
    run, _ = (users.start(total, number, debounce=Debounce(key="k", window=30, keep="all")) for number in (1, 2))
    pass_window(stage)
    assert users.get(run.id).info().arguments == [[[1, 2]], {}]
