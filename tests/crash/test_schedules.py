"""A process dies, or loses its connection, at every point of deciding a tick: each tick has one run all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest

from segue.engine.engine import Engine
from segue.errors import StoreError
from segue.scheduler.chores import Chores
from tests.contract.scheduling import NAME, Clockwork
from tests.contract.stage import Stage
from tests.crash.faults import Died, FaultyStore, die, lose
from tests.crash.worker_processes import eventually

FEWEST_POINTS = 8


@pytest.fixture
def clockwork(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clockwork]:
    monkeypatch.setattr("segue.engine.engine.time.sleep", lambda _: None)
    stage = Stage(database_url)
    yield Clockwork(stage)
    stage.close()


@pytest.mark.parametrize("overlap", ["allow", "queue_all", "cancel_running"])
def test_deciding_ticks_breaks_at_every_point(clockwork: Clockwork, overlap: str) -> None:
    clockwork.create(catch_up="all", overlap=overlap)
    minutes = 0
    for strike in (lose, die):
        number = 0
        while True:
            number, minutes = number + 1, minutes + 2
            faulty = FaultyStore(clockwork.stage.store, strike, number)
            clockwork.stage.advance(120)
            with suppress(Died, StoreError):
                clockwork.decide(by=Engine(faulty, ids=clockwork.stage.engine.ids))
            eventually(partial(is_all_decided, clockwork, minutes))
            assert_each_tick_has_one_run(clockwork, minutes)
            while any(not run.status.is_final for run in clockwork.runs()):
                clockwork.stage.work()
                clockwork.decide()
            if not faulty.has_struck:
                break
        assert number > FEWEST_POINTS
    assert clockwork.stage.engine.broken_invariants() == []


def is_all_decided(clockwork: Clockwork, minutes: int) -> bool:
    """A server may notice a little later that a process died, and let go of the schedule then."""
    clockwork.decide()
    return len(clockwork.ticks()) == minutes


def assert_each_tick_has_one_run(clockwork: Clockwork, minutes: int) -> None:
    ticks = clockwork.ticks()
    assert [clockwork.minute(info.tick) for info in ticks] == list(range(1, minutes + 1))
    started = {info.tick.isoformat(): info.run_id for info in ticks if info.status == "started"}
    assert {run.metadata["tick"]: run.id for run in clockwork.runs()} == started
    assert len(clockwork.runs()) == len(started)


def test_a_backfill_breaks_at_every_point_and_is_said_again(clockwork: Clockwork) -> None:
    clockwork.create(active=False)
    for strike in (lose, die):
        number = 0
        while True:
            number += 1
            faulty = FaultyStore(clockwork.stage.store, strike, number)
            clockwork.stage.advance(180)
            since, until = (
                clockwork.stage.clock.now() - clockwork.at(3) + clockwork.begun_at,
                clockwork.stage.clock.now(),
            )
            clockwork.schedules._engine = Engine(faulty, ids=clockwork.stage.engine.ids)
            with suppress(Died, StoreError):
                clockwork.schedules.backfill(NAME, since, until, overlap="allow")
            clockwork.schedules._engine = clockwork.stage.engine
            clockwork.schedules.backfill(NAME, since, until, overlap="allow")
            ids = [info.run_id for info in clockwork.ticks()]
            assert sorted(filter(None, ids)) == [run.id for run in clockwork.runs()]
            if not faulty.has_struck:
                break
        assert number > FEWEST_POINTS


def test_the_chores_lose_their_connection_at_every_point_and_go_on(clockwork: Clockwork) -> None:
    clockwork.create(overlap="allow", catch_up="all")
    for number in range(1, 60, 5):
        faulty = FaultyStore(clockwork.stage.store, lose, number, number + 1)
        chores = Chores(Engine(faulty, ids=clockwork.stage.engine.ids), monotonic=clockwork.stage.clock.monotonic)
        end = clockwork.stage.clock.monotonic() + 70
        while clockwork.stage.clock.monotonic() < end:
            clockwork.stage.advance(min(max(chores.do_round(), 0.001), 10.0))
        chores.stop()
        chores.run()
        assert len(clockwork.runs()) == len(clockwork.ticks()) >= number // 5
