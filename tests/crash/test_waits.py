"""Sending and ringing break at every point, and are said again: each happens once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segue.engine.alarms import ring_alarms, ringing_runs
from segue.engine.engine import Engine
from segue.engine.scope import ALL_RUNS
from segue.engine.sending import Sent, send_message
from segue.engine.turn_request import TurnRequest
from segue.errors import StoreError
from segue.model import Job, RunStatus
from segue.plan.graph import Plan, RunTerms, Sla
from tests.contract.stage import Stage, connect, node, plan, succeeded
from tests.contract.test_store_waits import sleep, wait
from tests.crash.faults import COMMITTED, Died, FaultyStore, die, lose


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    stage = Stage(database_url)
    yield stage
    assert stage.is_sound()
    stage.close()


PATIENCE_SECONDS = 10.0


def every_point(stage: Stage, prepare: Callable[[], str], act: Callable[[Engine, str], object]) -> Iterator[str]:
    """Have `act` lose its connection, then die, at each of its points; yields the run after it was said again."""
    for strike in (lose, die):
        number = 0
        while True:
            number += 1
            run_id = prepare()
            faulty = FaultyStore(stage.store, strike, number)
            try:
                act(Engine(faulty), run_id)
            except (Died, StoreError):
                act(stage.engine, run_id)
            yield run_id
            if not faulty.has_struck:
                assert faulty.points[-1] == COMMITTED
                assert number > 8
                break


def events(stage: Stage, run_id: str) -> list[str]:
    with connect(stage.store.url) as connection:
        rows = connection.execute(f"SELECT kind FROM segue_events WHERE run_id = '{run_id}' ORDER BY id").fetchall()
    return [kind for (kind,) in rows]


def messages(stage: Stage, run_id: str) -> list[tuple[Any, ...]]:
    with connect(stage.store.url) as connection:
        found = connection.execute(
            f"SELECT position, value, taken_by FROM segue_messages WHERE run_id = '{run_id}' ORDER BY position"
        )
        return [tuple(row) for row in found.fetchall()]


def send(engine: Engine, run_id: str) -> Sent:
    return engine.act(
        send_message, run_id, name="go", value="1", key="k"
    )  # fmt: skip


def ring(engine: Engine, _: str) -> None:
    """Handle all alarms, as the leader does: again, while the session of a process that died still holds their runs."""
    end = time.monotonic() + PATIENCE_SECONDS
    while engine.act(ring_alarms) or (is_due(engine) and time.monotonic() < end):
        pass


def is_due(engine: Engine) -> bool:
    with engine.reading() as tx:
        return bool(ringing_runs(tx, engine.store.now(), ALL_RUNS))


def test_a_sending_breaks_at_every_point(stage: Stage) -> None:
    nodes = (wait("one", event="go", timeout=60), wait("two", event="go"), node("b", 0), sleep("nap", 0, seconds=9))
    for run_id in every_point(stage, lambda: stage.start(plan(*nodes)), send):
        assert stage.statuses(run_id) == {"one": "succeeded", "two": "ready", "b": "ready", "nap": "ready"}
        assert messages(stage, run_id) == [(0, "1", 0)]
        assert events(stage, run_id) == ["run.sent"]
        stage.cancel(run_id)


def test_a_sending_that_ends_its_run_breaks_at_every_point(stage: Stage) -> None:
    for run_id in every_point(stage, lambda: stage.start(plan(wait("one", event="go"))), send):
        assert stage.run(run_id).status == RunStatus.SUCCEEDED
        assert messages(stage, run_id) == [(0, "1", 0)]


def test_a_wait_that_begins_with_its_message_breaks_at_every_point(stage: Stage) -> None:
    worker = stage.hire("worker")
    jobs: list[Job] = []

    def prepare() -> str:
        run_id = stage.start(plan(node("a"), wait("one", 0, event="go", timeout=60), wait("two", 0, event="go")))
        send(stage.engine, run_id)
        jobs[:] = stage.claim(worker)
        return run_id

    def report(engine: Engine, _: str) -> None:
        engine.turn(worker, TurnRequest(outcomes=[succeeded(*jobs)]))

    for run_id in every_point(stage, prepare, report):
        assert stage.statuses(run_id) == {"a": "succeeded", "one": "succeeded", "two": "ready"}
        assert messages(stage, run_id) == [(0, "1", 1)]
        stage.cancel(run_id)


def test_a_ringing_breaks_at_every_point(stage: Stage) -> None:
    nodes = (
        wait("w", timeout=10, default=1), node("b", 0), node("c", schedule_to_start=10.0, may_fail=True),
        node("d", sla=Sla(start=9.0)), wait("last", hook="finally"),
    )  # fmt: skip

    def prepare() -> str:
        run_id = stage.start(Plan("flow", nodes, terms=RunTerms(sla=Sla(end=10.0))))
        stage.advance(10)
        return run_id

    for run_id in every_point(stage, prepare, ring):
        assert stage.statuses(run_id) == {
            "w": "succeeded", "b": "ready", "c": "failed", "d": "ready", "last": "blocked"
        }  # fmt: skip
        assert sorted(events(stage, run_id)) == ["run.late_end", "step.late_start", "step.schedule_to_start"]
        stage.cancel(run_id)


def test_a_deadline_breaks_at_every_point(stage: Stage) -> None:
    late = Plan("flow", (node("a"), wait("w"), node("h", hook="finally")), terms=RunTerms(deadline=10.0))

    def prepare() -> str:
        run_id = stage.start(late)
        stage.advance(10)
        return run_id

    for run_id in every_point(stage, prepare, ring):
        assert stage.statuses(run_id) == {"a": "cancelled", "w": "cancelled", "h": "ready"}
        assert events(stage, run_id) == ["run.deadline"]
        stage.work()
        error = stage.run(run_id).error
        assert error is not None
        assert (stage.run(run_id).status, error.type) == ("failed", "DeadlineExceeded")
