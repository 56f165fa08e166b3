"""Silence is explained: of a step that an executor's own workers run, where its message is, and who could take it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.engine.identity import WorkerIdentity
from segue.engine.pausing import pause_run, resume_run
from segue.testing import ScriptedExecutor
from tests.contract.stage import Stage, node, plan

LEASE_SECONDS = 60.0
SENT = "attempt 1 was sent to celery, queue 'mail',"
NOBODY = "to celery, queue 'mail', but no worker of celery is alive; start one that consumes this queue"


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


@pytest.fixture
def far(stage: Stage) -> ScriptedExecutor:
    return ScriptedExecutor(stage, name="celery", lease_seconds=LEASE_SECONDS)


def start(stage: Stage, far: ScriptedExecutor, **fields: object) -> str:
    nodes = [node(name, queue="@celery:mail", executor=far.name, **fields) for name in ("a", "b")]
    return stage.start(plan(*nodes))


def open_workers(stage: Stage, far: ScriptedExecutor) -> None:
    """Its two processes are registered, as they are when the first one begins a message."""
    start(stage, far)
    [first, *_] = far.take()
    far.play(first, "begins", "succeeds")


def texts(stage: Stage, run_id: str, step: str | None = None) -> list[tuple[str, str]]:
    return [(reason.code, reason.text) for reason in stage.explain(run_id, step)]


def test_what_was_sent_says_where_and_that_nobody_takes_it(stage: Stage, far: ScriptedExecutor) -> None:
    run_id = start(stage, far)
    far.take()
    stage.advance(20)
    assert texts(stage, run_id, "a") == [
        ("sent", f"{SENT} 20.0 s ago, and has not begun; if it has not begun in 40.0 s, it is sent again"),
        ("no_worker", f"was sent {NOBODY}"),
    ]
    assert [(reason.code, reason.step) for reason in stage.explain(run_id)] == [
        ("sent", "a (2 such steps)"), ("no_worker", "a (2 such steps)"),
    ]  # fmt: skip


def test_what_was_sent_says_who_is_alive_to_take_it(stage: Stage, far: ScriptedExecutor) -> None:
    open_workers(stage, far)
    stage.hire("one of Segue's own")
    run_id = start(stage, far)
    far.take()
    [(code, text)] = texts(stage, run_id, "b")
    assert code == "sent"
    assert text.endswith("2 workers of celery are alive, for 2 tasks at once; check that one consumes this queue")
    stage.advance(LEASE_SECONDS + 5)
    late, nobody = texts(stage, run_id, "b")
    assert "is overdue by 5.0 s" in late[1]
    assert nobody[0] == "no_worker"


def test_what_is_followed_says_that_somebody_does(stage: Stage, far: ScriptedExecutor) -> None:
    """A process that follows an executor whose workers do not reach the database runs nothing itself."""
    identity = WorkerIdentity(
        id=stage.engine.new_id(), name="follower", queues=(), tasks=(), lease_seconds=LEASE_SECONDS, namespace=""
    )  # fmt: skip
    stage.engine.register(identity, pool=far.name, concurrency=0, version="")
    run_id = start(stage, far)
    far.take()
    [(code, text)] = texts(stage, run_id, "b")
    assert code == "sent"
    assert text.endswith("follows the tasks of celery is alive; check that a worker consumes this queue")


def test_what_is_to_be_sent_needs_a_worker_of_its_executor(stage: Stage, far: ScriptedExecutor) -> None:
    stage.hire("one of Segue's own", queues=("@celery:mail",))
    run_id = start(stage, far)
    assert texts(stage, run_id, "a") == [("no_worker", f"is to be sent {NOBODY}")]
    open_workers(stage, far)
    later = start(stage, far)
    stage.advance(3)
    [(code, text)] = texts(stage, later, "a")
    assert (code, text.partition(";")[0]) == ("to_be_sent", "has been ready for 3.0 s")


def test_what_is_delayed_says_until_when(stage: Stage, far: ScriptedExecutor) -> None:
    open_workers(stage, far)
    run_id = start(stage, far, delay=30.0)
    assert [code for code, _ in texts(stage, run_id, "a")] == ["delayed"]


def test_what_is_paused_says_so_and_nothing_else(stage: Stage, far: ScriptedExecutor) -> None:
    run_id = start(stage, far)
    stage.engine.act(pause_run, run_id)
    assert [code for code, _ in texts(stage, run_id, "a")] == ["paused"]
    stage.engine.act(resume_run, run_id)


def test_what_runs_says_where(stage: Stage, far: ScriptedExecutor) -> None:
    run_id = start(stage, far)
    [first, _] = far.take()
    far.play(first, "begins")
    stage.advance(12)
    assert texts(stage, run_id, "a") == [("running", "attempt 1 has run on celery-0 for 12.0 s")]
    stage.advance(LEASE_SECONDS)
    [(code, _)] = texts(stage, run_id, "a")
    assert code == "lost"
