"""Starts that are put together: one run for all within a window, whatever dies and however often it is said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import msgspec
import pytest

from segue.authoring import encode
from segue.engine import debounce
from segue.engine.debounce import DebounceTerms, Keep, NewStart
from segue.engine.engine import Engine
from segue.engine.reopening.retry import retry_run
from segue.errors import RunStateError
from segue.model import ErrorInfo
from segue.plan.graph import Plan
from segue.scheduler.debouncing import start_due_debounces
from tests.contract.stage import Stage, connect, node, plan
from tests.crash.faults import Died, FaultyStore, die

WINDOW = 5.0


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def one_step(argument: Any, name: str = "index") -> Plan:
    return plan(node("a", args=encode([[argument], {}])), name=name)


def start(stage: Stage, argument: Any, *, key: str = "k", id_: str | None = None, **terms: Any) -> str:
    """Start with one argument; returns the id of the run."""
    how = DebounceTerms(key, terms.pop("window", WINDOW), **terms)
    given = one_step([argument] if how.keep is Keep.ALL else argument)
    new = NewStart(id_ or stage.engine.new_id(), given, encode([[argument], {}]), needs_code=False)
    return add(stage.store, new, how)


def add(store: Any, new: NewStart, how: DebounceTerms) -> str:
    return Engine(store).act(debounce.add_start, new, how)


def argument_of(stage: Stage) -> Any:
    """The only argument of the only step that can be claimed."""
    (job,) = stage.claim()
    (argument,), named = msgspec.json.decode(job.args)
    assert named == {}
    return argument


@pytest.mark.parametrize("keep, expected", [("first", 1), ("last", 3), ("all", [1, 2, 3])])
def test_starts_within_a_window_are_one_run(stage: Stage, keep: str, expected: Any) -> None:
    run_ids = {start(stage, argument, keep=Keep(keep)) for argument in (1, 2, 3)}
    assert len(run_ids) == 1
    stage.advance(WINDOW - 0.1)
    assert start_due_debounces(stage.engine) == 0
    assert stage.claim() == []
    stage.advance(0.2)
    assert start_due_debounces(stage.engine) == 1
    assert argument_of(stage) == expected
    assert stage.is_sound()
    assert start_due_debounces(stage.engine) == 0


def test_the_run_is_there_and_pending_from_the_first_start_on(stage: Stage) -> None:
    run_id = start(stage, 1, keep=Keep.ALL)
    start(stage, 2, keep=Keep.ALL)
    run = stage.run(run_id)
    assert (run.workflow, run.status, run.steps) == ("index", "pending", 0)
    assert stage.is_sound()
    (reason,) = stage.explain(run_id)
    assert reason.code == "debounced"
    assert "2 starts" in reason.text
    stage.advance(WINDOW)
    start_due_debounces(stage.engine)
    stage.work()
    assert stage.run(run_id).status == "succeeded"


def test_each_key_and_each_workflow_has_its_own_debounce(stage: Stage) -> None:
    assert start(stage, 1) != start(stage, 1, key="other")


def test_the_next_start_after_the_window_begins_another_run(stage: Stage) -> None:
    first = start(stage, 1)
    stage.advance(WINDOW)
    assert start_due_debounces(stage.engine) == 1
    second = start(stage, 2)
    assert second != first
    stage.advance(WINDOW)
    assert start_due_debounces(stage.engine) == 1
    assert stage.run(second).steps == 1


def test_a_start_between_closing_and_starting_begins_another_run(stage: Stage) -> None:
    first = start(stage, 1)
    stage.advance(WINDOW)
    closed = stage.engine.act(debounce.close_debounce, first)
    assert closed is not None
    assert start(stage, 2) != first
    assert start_due_debounces(stage.engine) == 1  # whoever closed it may have died
    assert stage.run(first).steps == 1


def test_a_window_may_begin_anew_but_not_for_ever(stage: Stage) -> None:
    run_id = start(stage, 0, restarts=True, longest=12.0)
    for argument in range(1, 4):
        stage.advance(WINDOW - 1)
        assert start_due_debounces(stage.engine) == int(argument == 3)
        if argument < 3:
            assert start(stage, argument, restarts=True, longest=12.0) == run_id
    assert argument_of(stage) == 2


def test_a_full_debounce_starts_at_once(stage: Stage) -> None:
    start(stage, 1, keep=Keep.ALL, most=2)
    assert start_due_debounces(stage.engine) == 0
    start(stage, 2, keep=Keep.ALL, most=2)
    assert start_due_debounces(stage.engine) == 1
    assert argument_of(stage) == [1, 2]


def test_a_start_that_is_said_twice_counts_once(stage: Stage) -> None:
    start(stage, 1, keep=Keep.ALL)
    again = stage.engine.new_id()
    assert start(stage, 2, keep=Keep.ALL, id_=again) == start(stage, 2, keep=Keep.ALL, id_=again)
    stage.advance(WINDOW)
    start_due_debounces(stage.engine)
    assert argument_of(stage) == [1, 2]


def test_a_cancelled_debounce_starts_nothing_and_makes_room(stage: Stage) -> None:
    first = start(stage, 1)
    assert stage.cancel(first) == "cancelled"
    second = start(stage, 2)
    assert second != first
    stage.advance(WINDOW)
    start_due_debounces(stage.engine)
    assert argument_of(stage) == 2
    assert stage.is_sound()


def test_a_debounce_cancelled_after_its_window_is_dropped(stage: Stage) -> None:
    first = start(stage, 1)
    stage.advance(WINDOW)
    stage.cancel(first)
    start_due_debounces(stage.engine)
    assert stage.claim() == []
    assert start_due_debounces(stage.engine) == 0
    assert stage.run(first).status == "cancelled"
    assert stage.is_sound()


def test_concurrent_starts_are_all_in_one_debounce(stage: Stage) -> None:
    start(stage, -1, key="warm")
    together = Barrier(6)

    def add(number: int) -> str:
        together.wait()
        return start(stage, number, keep=Keep.ALL)

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(add, range(6)))) == 1
    stage.advance(WINDOW)
    start_due_debounces(stage.engine)
    lists = [msgspec.json.decode(job.args)[0][0] for job in stage.claim()]
    assert sorted(next(found for found in lists if found != -1)) == list(range(6))


def test_two_leaders_at_once_start_a_debounce_once(stage: Stage) -> None:
    run_id = start(stage, 1)
    stage.advance(WINDOW)
    together = Barrier(2)

    def lead(_: int) -> int:
        together.wait()
        return start_due_debounces(stage.engine)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lead, range(2)))
    assert stage.run(run_id).steps == 1
    assert len(stage.claim()) == 1
    assert stage.is_sound()


def test_a_leader_that_dies_anywhere_leaves_a_debounce_that_is_started_once(stage: Stage) -> None:
    for point in range(1, 100):
        key = f"k{point}"
        run_id = start(stage, point, key=key)
        stage.advance(WINDOW)
        faulty = FaultyStore(stage.store, die, point)
        with suppress(Died):
            start_due_debounces(Engine(faulty, ids=stage.engine.ids))
        start_due_debounces(stage.engine)
        assert stage.run(run_id).steps == 1
        assert argument_of(stage) == point
        if not faulty.has_struck:
            assert point > 5  # it did get through several points before
            break
    else:
        raise AssertionError("there was no end of points")
    assert stage.is_sound()


def test_a_start_that_dies_anywhere_and_is_repeated_counts_once(stage: Stage) -> None:
    for point in range(1, 100):
        start(stage, "first", key=f"k{point}", keep=Keep.ALL)
        again = stage.engine.new_id()
        faulty = FaultyStore(stage.store, die, point)
        given = NewStart(again, one_step(["second"]), encode([["second"], {}]), needs_code=False)
        how = DebounceTerms(f"k{point}", WINDOW, Keep.ALL)
        with suppress(Died):
            add(faulty, given, how)
        add(stage.store, given, how)
        stage.advance(WINDOW)
        start_due_debounces(stage.engine)
        assert argument_of(stage) == ["first", "second"]
        if not faulty.has_struck:
            break
    else:
        raise AssertionError("there was no end of points")


def test_the_first_start_said_again_after_its_window_is_the_same_run(stage: Stage) -> None:
    first = stage.engine.new_id()
    run_id = start(stage, 1, id_=first)
    stage.advance(WINDOW)
    assert stage.engine.act(debounce.close_debounce, run_id) is not None
    assert start(stage, 1, id_=first) == run_id  # closed, and not started yet
    assert start_due_debounces(stage.engine) == 1
    assert start(stage, 1, id_=first) == run_id
    assert start(stage, 2) != run_id  # no debounce was begun anew for a run that has its steps


def test_a_run_that_never_got_steps_is_not_retried(stage: Stage) -> None:
    run_id = start(stage, 1)
    stage.cancel(run_id)
    with pytest.raises(RunStateError, match="never had any steps"):
        stage.engine.act(retry_run, run_id)
    assert stage.run(run_id).status == "cancelled"


def test_who_cannot_start_a_run_does_not_end_one_that_another_has_started(stage: Stage) -> None:
    run_id = start(stage, 1)
    stage.advance(WINDOW)
    closed = stage.engine.act(debounce.close_debounce, run_id)
    assert closed is not None
    assert start_due_debounces(stage.engine) == 1
    error = ErrorInfo("AttributeError", "an older version of the code")
    stage.engine.act(debounce.fail_debounce, closed, error)
    assert stage.run(run_id).ending is None
    assert argument_of(stage) == 1


def test_a_start_said_again_after_its_window_is_still_in_the_first_run(stage: Stage) -> None:
    run_id = start(stage, 1, keep=Keep.ALL)
    again = stage.engine.new_id()
    assert start(stage, 2, keep=Keep.ALL, id_=again) == run_id
    stage.advance(WINDOW)
    assert start_due_debounces(stage.engine) == 1
    assert start(stage, 2, keep=Keep.ALL, id_=again) == run_id
    assert argument_of(stage) == [1, 2]
    stage.advance(WINDOW)
    assert start_due_debounces(stage.engine) == 0


def test_an_older_start_said_again_does_not_replace_a_newer_one(stage: Stage) -> None:
    older = stage.engine.new_id()
    start(stage, "first")
    start(stage, "older", id_=older)
    start(stage, "newer")
    start(stage, "older", id_=older)
    stage.advance(WINDOW)
    start_due_debounces(stage.engine)
    assert argument_of(stage) == "newer"


def test_no_row_grows_with_the_number_of_starts(stage: Stage) -> None:
    run_id = start(stage, "x" * 1000, keep=Keep.ALL)
    sizes = set()
    for number in range(1, 40):
        start(stage, f"{number:04}" * 250, keep=Keep.ALL)
        sizes.add(_size_of_debounce(stage, run_id))
    assert len(sizes) == 1
    assert sizes.pop() < 1000


def _size_of_debounce(stage: Stage, run_id: str) -> int:
    question = f"SELECT length(starts) + length(plan) FROM segue_debounces WHERE CAST(run_id AS text) = '{run_id}'"
    with connect(stage.store.url) as connection:
        return int(connection.execute(question).fetchone()[0])


def test_a_start_that_keeps_other_arguments_begins_another_debounce(stage: Stage) -> None:
    first, second = start(stage, 1, keep=Keep.ALL), start(stage, 2, keep=Keep.LAST)
    assert first != second
    start_due_debounces(stage.engine)
    assert argument_of(stage) == [1]  # nothing else could join it, so it does not wait for its window
    stage.advance(WINDOW)
    start_due_debounces(stage.engine)
    assert argument_of(stage) == 2


def test_what_an_older_version_put_together_comes_first(stage: Stage) -> None:
    run_id = start(stage, 2, keep=Keep.ALL)
    older = msgspec.json.encode([[stage.engine.new_id(), [[1], {}]]]).decode()
    with connect(stage.store.url) as connection:
        connection.execute(
            f"UPDATE segue_debounces SET starts = '{older}', seen = 2 WHERE CAST(run_id AS text) = '{run_id}'"
        )
        connection.commit()
    start(stage, 3, keep=Keep.ALL)
    stage.advance(WINDOW)
    start_due_debounces(stage.engine)
    assert argument_of(stage) == [1, 2, 3]


def test_starts_are_forgotten_after_an_hour_unless_a_debounce_needs_them(stage: Stage) -> None:
    start(stage, 1, key="gone")
    waiting = [start(stage, number, key="waits", keep=Keep.ALL, window=10_000.0) for number in (1, 2)]
    stage.advance(WINDOW)
    start_due_debounces(stage.engine)
    argument_of(stage)
    stage.advance(debounce.REMEMBERED.total_seconds() - 2 * WINDOW)
    assert stage.engine.act(debounce.forget_starts) == 0
    stage.advance(2 * WINDOW)
    assert stage.engine.act(debounce.forget_starts) == 1
    stage.advance(10_000.0)
    start_due_debounces(stage.engine)
    assert argument_of(stage) == [1, 2]
    assert len(set(waiting)) == 1
    assert stage.engine.act(debounce.forget_starts) == 2
