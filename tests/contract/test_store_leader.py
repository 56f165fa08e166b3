"""Who does the chores, when each is done, and what happens when one fails or the database is away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from segue.engine.engine import Engine
from segue.errors import StoreBusyError, StoreError, StoreUnavailableError
from segue.scheduler import chores as chores_module
from segue.scheduler.chores import Chore, Chores
from segue.scheduler.leader import Lead, leader_info
from segue.store.protocol import Transaction
from tests.contract.scheduling import NAME, Clockwork
from tests.contract.stage import LEASE_SECONDS, Stage, node, plan
from tests.contract.test_store_schedules import nightly


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


@pytest.fixture
def make_lead(stage: Stage) -> Callable[[], Lead]:
    return lambda: Lead(stage.engine, monotonic=stage.clock.monotonic, lease_seconds=6.0)


@pytest.fixture
def make_chores(stage: Stage) -> Callable[..., Chores]:
    def make(*table: Chore, engine: Engine | None = None) -> Chores:
        how: dict[str, Any] = {"table": table} if table else {}
        return Chores(engine or stage.engine, monotonic=stage.clock.monotonic, lease_seconds=6.0, **how)

    return make


# Leading --------------------------------------------------------------------------------------------------------------


def test_one_leads_as_long_as_it_renews_its_lease(stage: Stage, make_lead: Callable[[], Lead]) -> None:
    first, second = make_lead(), make_lead()
    assert [first.ask(), second.ask()] == [True, False]
    for _ in range(5):
        stage.advance(4)
        assert [second.ask(), first.ask()] == [False, True]
    assert (first.is_mine, first.term, second.is_mine) == (True, 1, False)
    with stage.engine.reading() as tx:
        info = leader_info(tx)
    assert info is not None
    assert (info.term, (info.lease_until - info.since).total_seconds()) == (1, 26)


def test_another_leads_when_the_lease_has_run_out(stage: Stage, make_lead: Callable[[], Lead]) -> None:
    first, second = make_lead(), make_lead()
    first.ask()
    second.ask()
    assert 0 < second.wait_seconds <= 2  # so long at most does it take to be noticed
    stage.advance(6)
    assert not first.is_mine
    assert second.ask()
    assert not first.ask()
    assert (first.term, second.term) == (0, 2)


def test_a_leader_that_was_slow_goes_on_when_nobody_missed_it(stage: Stage, make_lead: Callable[[], Lead]) -> None:
    lead = make_lead()
    lead.ask()
    stage.advance(60)
    assert not lead.is_mine
    assert lead.ask()
    assert lead.term == 1


def test_who_gives_up_is_succeeded_at_once(stage: Stage, make_lead: Callable[[], Lead]) -> None:
    first, second = make_lead(), make_lead()
    first.ask()
    first.give_up()
    assert not first.is_mine
    assert second.ask()
    first.give_up()  # it has nothing to give up any more
    assert second.ask()


# The loop -------------------------------------------------------------------------------------------------------------


class Heap:
    """Work that a chore takes away in batches."""

    def __init__(self, *batches: int) -> None:
        self.left = list(batches)
        self.calls = 0

    def __call__(self, engine: Engine) -> int:
        self.calls += 1
        return self.left.pop(0) if self.left else 0


def rounds(chores: Chores, stage: Stage, seconds: float) -> None:
    """Do the rounds for so long, waiting between them as told."""
    end = stage.clock.monotonic() + seconds
    while stage.clock.monotonic() < end:
        pause = chores.do_round()
        stage.advance(max(min(pause, end - stage.clock.monotonic()), 0.0))


def test_a_chore_is_repeated_at_once_until_nothing_is_left_and_then_rests(
    stage: Stage, make_chores: Callable[..., Chores]
) -> None:
    heap = Heap(10, 10, 3)
    chores = make_chores(Chore("heap", 5.0, heap))
    rounds(chores, stage, 5.5)
    assert (heap.left, heap.calls) == ([], 4)
    rounds(chores, stage, 20)
    assert heap.calls == 8


def test_who_does_not_lead_does_nothing(stage: Stage, make_chores: Callable[..., Chores]) -> None:
    mine, other = Heap(), Heap()
    first, second = make_chores(Chore("heap", 1.0, mine)), make_chores(Chore("heap", 1.0, other))
    first.do_round()
    for _ in range(20):
        stage.advance(1)
        first.do_round()
        second.do_round()
    assert (mine.calls, other.calls) == (20, 0)
    first.stop()
    first.run()
    rounds(second, stage, 5)
    assert other.calls >= 2


def test_a_chore_that_fails_holds_up_no_other_and_is_tried_again(
    stage: Stage, make_chores: Callable[..., Chores], caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def broken(engine: Engine) -> int:
        tries.append(1)
        raise ZeroDivisionError

    heap = Heap()
    chores = make_chores(Chore("broken", 1.0, broken), Chore("heap", 1.0, heap))
    rounds(chores, stage, 35)
    assert len(tries) == 2
    assert heap.calls > 30
    assert "broken failed" in caplog.text


class Cut:
    """A store whose database is away while `is_away`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self._reach().transaction()

    def reading(self) -> AbstractContextManager[Transaction]:
        return self._reach().reading()

    def _reach(self) -> Any:
        if self.is_away:
            raise StoreUnavailableError("away, says the test")
        return self._store


ODD_ERRORS = [StoreError("a statement was cancelled"), StoreBusyError("locked"), ValueError("a row"), RecursionError()]


@pytest.mark.parametrize("error", ODD_ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["leading", "looking", "declaring"])
def test_whatever_the_chores_meet_they_go_on_with_the_next_round(
    stage: Stage, make_chores: Callable[..., Chores], monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    done: list[str] = []
    chores = make_chores(Chore("work", 1.0, lambda _: len(done) < 1 and done.append("work") is None))
    broken = [error] * 3
    at = {"leading": (Lead, "ask"), "looking": (Chores, "_look"), "declaring": (chores_module, "declare_schedules")}
    owner, name = at[where]
    before = getattr(owner, name)

    def break_down(*args: Any, **kwargs: Any) -> Any:
        if broken:
            raise broken.pop()
        return before(*args, **kwargs)

    monkeypatch.setattr(owner, name, break_down)
    rounds(chores, stage, 300)
    assert not broken
    assert done == ["work"]


def test_when_the_database_was_away_nobody_is_rescued_before_all_had_time_to_say_that_they_live(
    stage: Stage, make_chores: Callable[..., Chores], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.engine.engine.time.sleep", lambda _: None)
    cut = Cut(stage.store)
    chores = make_chores(engine=Engine(cut))
    run_id = stage.start(plan(node("a")))
    stage.claim()
    chores.do_round()
    cut.is_away = True
    rounds(chores, stage, LEASE_SECONDS + 5)
    cut.is_away = False
    rounds(chores, stage, 4)
    assert stage.statuses(run_id) == {"a": "running"}
    assert stage.turn(heartbeat="running").lease_lost is False
    rounds(chores, stage, LEASE_SECONDS - 1)
    assert stage.statuses(run_id) == {"a": "running"}
    rounds(chores, stage, 10)
    assert stage.statuses(run_id) == {"a": "ready"}


def test_who_was_stopped_for_a_while_rescues_nobody_at_once(stage: Stage, make_chores: Callable[..., Chores]) -> None:
    """Its own worker was stopped with it, and renews its lease as soon as it can."""
    chores = make_chores()
    run_id = stage.start(plan(node("a")))
    stage.claim()
    chores.do_round()
    stage.advance(LEASE_SECONDS + 20)
    rounds(chores, stage, 4)
    assert not stage.turn(heartbeat="running").lease_lost
    rounds(chores, stage, LEASE_SECONDS - 1)
    assert stage.statuses(run_id) == {"a": "running"}


def test_timers_are_opened_where_no_worker_looks_at_them(stage: Stage, make_chores: Callable[..., Chores]) -> None:
    chores = make_chores()
    run_id = stage.start(plan(node("a", delay=30.0)))
    rounds(chores, stage, 30)
    assert stage.step(run_id, "a").gate == "timer"
    rounds(chores, stage, 2.1)
    assert stage.step(run_id, "a").gate is None


# Schedules ------------------------------------------------------------------------------------------------------------


def test_the_leader_starts_a_tick_at_its_moment(stage: Stage, make_chores: Callable[..., Chores]) -> None:
    clockwork, chores = Clockwork(stage), make_chores()
    clockwork.create(schedule="every 7 seconds", overlap="allow")
    rounds(chores, stage, 30)
    late = [(info.decided_at - info.tick).total_seconds() for info in clockwork.ticks() if info.decided_at]
    assert len(late) == 4
    assert max(late) < 0.01


def test_others_help_with_a_tick_that_the_leader_leaves(stage: Stage, make_chores: Callable[..., Chores]) -> None:
    clockwork, leader, helper = Clockwork(stage), make_chores(Chore("nothing", 1.0, Heap())), make_chores()
    clockwork.create(work=nightly.s("north"))
    leader.do_round()
    for _ in range(62):
        stage.advance(1)
        leader.do_round()
        helper.do_round()
    assert clockwork.fates() == {}
    for _ in range(6):
        stage.advance(1)
        leader.do_round()
        helper.do_round()
    assert leader.is_leading
    assert clockwork.fates() == {1: "started"}


def test_queued_ticks_start_within_a_second_of_the_end_of_the_run_before(
    stage: Stage, make_chores: Callable[..., Chores]
) -> None:
    clockwork, chores = Clockwork(stage), make_chores()
    clockwork.create(schedule="every 20 seconds", overlap="queue_all")
    rounds(chores, stage, 45)
    assert [info.status for info in clockwork.ticks()] == ["started", "queued"]
    clockwork.finish()
    rounds(chores, stage, 1.1)
    assert [info.status for info in clockwork.ticks()] == ["started", "started"]


def test_a_leader_declares_the_schedules_of_its_code(stage: Stage, make_chores: Callable[..., Chores]) -> None:
    from segue import workflow
    from segue.authoring import declared

    workflow(name="tests.leader.hourly", schedule="@hourly")(nothing)
    try:
        make_chores().do_round()
    finally:
        declared.workflows.pop("tests.leader.hourly")
    assert [info.name for info in Clockwork(stage).schedules.list()] == ["tests.leader.hourly"]
    assert NAME not in [info.name for info in Clockwork(stage).schedules.list()]


def nothing() -> None:
    """A workflow without steps."""
