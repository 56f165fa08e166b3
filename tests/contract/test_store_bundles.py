"""Starts that are put together: one run for all within a window, whatever dies and however often it is said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import msgspec
import pytest

from segue.authoring import encode
from segue.engine import bundles
from segue.engine.bundles import BundleTerms, Keep, NewStart
from segue.engine.engine import Engine
from segue.engine.ids import new_id
from segue.engine.reopening.retry import retry_run
from segue.errors import RunStateError
from segue.model import ErrorInfo
from segue.plan.graph import Plan
from segue.scheduler.bundling import start_due_bundles
from tests.contract.acting import Stage, node, plan
from tests.crash.faults import Died, FaultyStore, die

WINDOW = 5.0


def one_step(argument: Any, name: str = "index") -> Plan:
    return plan(node("a", args=encode([[argument], {}])), name=name)


def start(stage: Stage, argument: Any, *, key: str = "k", id_: str | None = None, **terms: Any) -> str:
    """Start with one argument; returns the id of the run."""
    how = BundleTerms(key, terms.pop("window", WINDOW), **terms)
    given = one_step([argument] if how.keep is Keep.ALL else argument)
    new = NewStart(id_ or new_id(stage.store.now()), given, encode([[argument], {}]), needs_code=False)
    return add(stage.store, new, how)


def add(store: Any, new: NewStart, how: BundleTerms) -> str:
    return Engine(store).act(lambda tx, now: bundles.add_start(store, tx, new, how, now))


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
    assert start_due_bundles(stage.engine) == 0
    assert stage.claim() == []
    stage.advance(0.2)
    assert start_due_bundles(stage.engine) == 1
    assert argument_of(stage) == expected
    assert stage.is_sound()
    assert start_due_bundles(stage.engine) == 0


def test_the_run_is_there_and_pending_from_the_first_start_on(stage: Stage) -> None:
    run_id = start(stage, 1, keep=Keep.ALL)
    start(stage, 2, keep=Keep.ALL)
    run = stage.run(run_id)
    assert (run.workflow, run.status, run.steps) == ("index", "pending", 0)
    assert stage.is_sound()
    (reason,) = stage.explain(run_id)
    assert reason.code == "bundled"
    assert "2 starts" in reason.text
    stage.advance(WINDOW)
    start_due_bundles(stage.engine)
    stage.work()
    assert stage.run(run_id).status == "succeeded"


def test_each_key_and_each_workflow_has_its_own_bundle(stage: Stage) -> None:
    assert start(stage, 1) != start(stage, 1, key="other")


def test_the_next_start_after_the_window_begins_another_run(stage: Stage) -> None:
    first = start(stage, 1)
    stage.advance(WINDOW)
    assert start_due_bundles(stage.engine) == 1
    second = start(stage, 2)
    assert second != first
    stage.advance(WINDOW)
    assert start_due_bundles(stage.engine) == 1
    assert stage.run(second).steps == 1


def test_a_start_between_closing_and_starting_begins_another_run(stage: Stage) -> None:
    first = start(stage, 1)
    stage.advance(WINDOW)
    closed = stage.engine.act(lambda tx, now: bundles.close_bundle(tx, first, now))
    assert closed is not None
    assert start(stage, 2) != first
    assert start_due_bundles(stage.engine) == 1  # whoever closed it may have died
    assert stage.run(first).steps == 1


def test_a_window_may_begin_anew_but_not_for_ever(stage: Stage) -> None:
    run_id = start(stage, 0, restarts=True, longest=12.0)
    for argument in range(1, 4):
        stage.advance(WINDOW - 1)
        assert start_due_bundles(stage.engine) == int(argument == 3)
        if argument < 3:
            assert start(stage, argument, restarts=True, longest=12.0) == run_id
    assert argument_of(stage) == 2


def test_a_full_bundle_starts_at_once(stage: Stage) -> None:
    start(stage, 1, keep=Keep.ALL, most=2)
    assert start_due_bundles(stage.engine) == 0
    start(stage, 2, keep=Keep.ALL, most=2)
    assert start_due_bundles(stage.engine) == 1
    assert argument_of(stage) == [1, 2]


def test_a_start_that_is_said_twice_counts_once(stage: Stage) -> None:
    start(stage, 1, keep=Keep.ALL)
    again = new_id(stage.store.now())
    assert start(stage, 2, keep=Keep.ALL, id_=again) == start(stage, 2, keep=Keep.ALL, id_=again)
    stage.advance(WINDOW)
    start_due_bundles(stage.engine)
    assert argument_of(stage) == [1, 2]


def test_a_cancelled_bundle_starts_nothing_and_makes_room(stage: Stage) -> None:
    first = start(stage, 1)
    assert stage.engine.cancel(first) == "cancelled"
    second = start(stage, 2)
    assert second != first
    stage.advance(WINDOW)
    start_due_bundles(stage.engine)
    assert argument_of(stage) == 2
    assert stage.is_sound()


def test_a_bundle_cancelled_after_its_window_is_dropped(stage: Stage) -> None:
    first = start(stage, 1)
    stage.advance(WINDOW)
    stage.engine.cancel(first)
    start_due_bundles(stage.engine)
    assert stage.claim() == []
    assert start_due_bundles(stage.engine) == 0
    assert stage.run(first).status == "cancelled"
    assert stage.is_sound()


def test_concurrent_starts_are_all_in_one_bundle(stage: Stage) -> None:
    start(stage, -1, key="warm")
    together = Barrier(6)

    def add(number: int) -> str:
        together.wait()
        return start(stage, number, keep=Keep.ALL)

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(add, range(6)))) == 1
    stage.advance(WINDOW)
    start_due_bundles(stage.engine)
    lists = [msgspec.json.decode(job.args)[0][0] for job in stage.claim()]
    assert sorted(next(found for found in lists if found != -1)) == list(range(6))


def test_two_leaders_at_once_start_a_bundle_once(stage: Stage) -> None:
    run_id = start(stage, 1)
    stage.advance(WINDOW)
    together = Barrier(2)

    def lead(_: int) -> int:
        together.wait()
        return start_due_bundles(stage.engine)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lead, range(2)))
    assert stage.run(run_id).steps == 1
    assert len(stage.claim()) == 1
    assert stage.is_sound()


def test_a_leader_that_dies_anywhere_leaves_a_bundle_that_is_started_once(stage: Stage) -> None:
    for point in range(1, 100):
        key = f"k{point}"
        run_id = start(stage, point, key=key)
        stage.advance(WINDOW)
        faulty = FaultyStore(stage.store, die, point)
        with suppress(Died):
            start_due_bundles(Engine(faulty))
        start_due_bundles(stage.engine)
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
        again = new_id(stage.store.now())
        faulty = FaultyStore(stage.store, die, point)
        given = NewStart(again, one_step(["second"]), encode([["second"], {}]), needs_code=False)
        how = BundleTerms(f"k{point}", WINDOW, Keep.ALL)
        with suppress(Died):
            add(faulty, given, how)
        add(stage.store, given, how)
        stage.advance(WINDOW)
        start_due_bundles(stage.engine)
        assert argument_of(stage) == ["first", "second"]
        if not faulty.has_struck:
            break
    else:
        raise AssertionError("there was no end of points")


def test_the_first_start_said_again_after_its_window_is_the_same_run(stage: Stage) -> None:
    first = new_id(stage.store.now())
    run_id = start(stage, 1, id_=first)
    stage.advance(WINDOW)
    assert stage.engine.act(lambda tx, now: bundles.close_bundle(tx, run_id, now)) is not None
    assert start(stage, 1, id_=first) == run_id  # closed, and not started yet
    assert start_due_bundles(stage.engine) == 1
    assert start(stage, 1, id_=first) == run_id
    assert start(stage, 2) != run_id  # no bundle was begun anew for a run that has its steps


def test_a_run_that_never_got_steps_is_not_retried(stage: Stage) -> None:
    run_id = start(stage, 1)
    stage.engine.cancel(run_id)
    with pytest.raises(RunStateError, match="never had any steps"):
        stage.engine.act(lambda tx, now: retry_run(stage.store, tx, run_id, now))
    assert stage.run(run_id).status == "cancelled"


def test_who_cannot_start_a_run_does_not_end_one_that_another_has_started(stage: Stage) -> None:
    run_id = start(stage, 1)
    stage.advance(WINDOW)
    bundle = stage.engine.act(lambda tx, now: bundles.close_bundle(tx, run_id, now))
    assert bundle is not None
    assert start_due_bundles(stage.engine) == 1
    error = ErrorInfo("AttributeError", "an older version of the code")
    stage.engine.act(lambda tx, now: bundles.fail_bundle(stage.store, tx, bundle, error, now))
    assert stage.run(run_id).ending is None
    assert argument_of(stage) == 1
