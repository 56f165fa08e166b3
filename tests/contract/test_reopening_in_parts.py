"""A retry of a large run that has ended: worked out without its lock, written in parts, whoever comes between them.

Here every run counts as large, and the parts are as small as can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest

from segue.engine import propagate
from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.engine.parts import do_part
from segue.engine.reopening import ahead, run_graph
from segue.engine.reopening.ahead import BufferedWrites, write_ahead
from segue.engine.reopening.retry import retry_run
from segue.engine.views.waiting import list_events
from tests.contract import by_hand
from tests.contract.stage import Stage, node, plan, succeeded

WIDTH = 3


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagate, "PART", 1)
    monkeypatch.setattr(ahead, "AT_ONCE", 2)
    monkeypatch.setattr(run_graph, "LARGE_RUN", 0)


def failed_run(stage: Stage) -> str:
    """Some steps failed, one that waits for them all was skipped, and a hook ran."""
    stage.renew()
    members = [node(f"m{at}", retries=0) for at in range(WIDTH)]
    run_id = stage.start(plan(*members, node("last", *range(WIDTH)), node("hook", hook="finally")))
    stage.work(by_hand.fails("m0", "m1"))
    assert stage.run(run_id).status == "failed"
    return run_id


def half_retried(stage: Stage, run_id: str) -> Iterator[None]:
    """Say a retry, and go on from one part to the next."""
    store = stage.store
    with stage.engine.reading() as tx:
        looking = BufferedWrites(stage.store, tx, run_id)
        retry_run(Act(looking, store.now()), run_id)
    assert stage.engine._act(lambda act: write_ahead(act, run_id, looking), [])
    yield
    while stage.engine._act(partial(do_part, run_id=run_id), []).is_left:
        yield


def test_it_comes_to_the_same_as_one_transaction(stage: Stage) -> None:
    run_id = failed_run(stage)
    assert by_hand.retry(stage, run_id) == ("running", True)
    statuses = {"m0": "ready", "m1": "ready", "m2": "succeeded", "last": "blocked", "hook": "blocked"}
    assert stage.statuses(run_id) == statuses
    stage.work()
    assert stage.run(run_id).status == "succeeded"


def test_nothing_starts_before_all_is_written(stage: Stage) -> None:
    run_id = failed_run(stage)
    for _ in half_retried(stage, run_id):
        assert stage.is_sound()
        if stage.run(run_id).status == "failed":
            assert stage.claim() == []
    assert {job.name for job in stage.claim()} == {"m0", "m1"}


def test_workers_may_be_quicker_than_the_parts(stage: Stage) -> None:
    run_id = failed_run(stage)
    for _ in half_retried(stage, run_id):
        stage.turn(*[succeeded(job) for job in stage.claim()])
    stage.work()
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()


def test_a_cancel_between_two_parts_stands(stage: Stage) -> None:
    for at in count():
        run_id = failed_run(stage)
        parts = half_retried(stage, run_id)
        is_through = [next(parts, "through") for _ in range(at + 1)][-1] == "through"
        status = stage.cancel(run_id)
        stage.engine.carry_on(seconds=600.0)
        assert stage.is_sound()
        if status == "cancelled":
            assert stage.run(run_id).status == "cancelled"
            assert not {"ready", "blocked"} & set(stage.statuses(run_id).values())
        if is_through:
            return
        stage.work()
        assert stage.run(run_id).status.is_final


def test_a_run_that_is_changed_meanwhile_is_looked_at_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = failed_run(stage)
    real, looks = Engine._work_out, count(1)

    def and_another_comes(self: Engine, act: Any, of_run: str) -> Any:
        found = real(self, act, of_run)
        if next(looks) == 1:
            by_hand.edit(stage, run_id, "m0", 1)
        return found

    monkeypatch.setattr(Engine, "_work_out", and_another_comes)
    assert by_hand.retry(stage, run_id).changed
    assert next(looks) == 3
    assert stage.statuses(run_id)["m0"] == "ready"


def test_two_retries_at_once_are_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = failed_run(stage)
    real, looks = Engine._work_out, count(1)

    def and_another_comes(self: Engine, act: Any, of_run: str) -> Any:
        found = real(self, act, of_run)
        if next(looks) == 1:
            by_hand.retry(stage, run_id)
        return found

    monkeypatch.setattr(Engine, "_work_out", and_another_comes)
    assert not by_hand.retry(stage, run_id).changed
    events = [event.kind for event in stage_events(stage, run_id)]
    assert events.count("run.retried") == 1


def stage_events(stage: Stage, run_id: str) -> list[Any]:
    with stage.engine.reading() as tx:
        return list_events(tx, run_id=run_id)
