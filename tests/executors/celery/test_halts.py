"""After a pause has returned nothing begins any more, of all that is queued; a resume runs all of it, each once."""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import redis
from celery import Celery, group

from segue import Segue
from segue.engine.executing import begin_steps
from segue.engine.identity import WorkerIdentity
from segue.engine.pausing import pause_run
from segue.errors import WaitTimeoutError
from segue.executors.celery import install
from segue.plan.graph import Node, Plan
from tests.executors.celery.conftest import Project, Staged, wait_until
from tests.thorough import IS_THOROUGH

SECONDS = 300 if IS_THOROUGH else 100
QUEUED = 10_000 if IS_THOROUGH else 1_000


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def queued(staged: Staged) -> int:
    return int(redis.Redis.from_url(f"{staged.broker}/0").llen("celery"))  # type: ignore[arg-type]


@pytest.mark.proof
@pytest.mark.timeout(600 if IS_THOROUGH else 120)
def test_of_many_queued_messages_none_begins_after_the_pause(staged: Staged, tmp_path: Path) -> None:
    project, path = staged.project, tmp_path / "notes"
    note = project.app.tasks["note"]
    run = project.segue.start(group(note.si(str(path), str(number)) for number in range(QUEUED)))
    workers = [staged.worker(), staged.worker()]
    wait_until(lambda: len(lines(path)) > 50, SECONDS)
    run.pause()
    begun = len(lines(path))
    assert begun < QUEUED
    assert queued(staged) > QUEUED // 10
    wait_until(lambda: queued(staged) == 0, SECONDS)
    time.sleep(0.5)
    assert len(lines(path)) == begun
    wait_until(lambda: {step.status for step in run.steps()} <= {"ready", "succeeded"}, SECONDS)
    assert len(lines(path)) == begun
    run.resume()
    assert sorted(run.wait(timeout=SECONDS).result(), key=int) == [str(number) for number in range(QUEUED)]
    assert set(Counter(lines(path)).values()) == {1}
    assert len(lines(path)) == QUEUED
    assert all(worker.process.poll() is None for worker in workers)


def test_a_resume_may_come_while_messages_are_turned_away(staged: Staged, tmp_path: Path) -> None:
    project, path = staged.project, tmp_path / "notes"
    note = project.app.tasks["note"]
    run = project.segue.start(group(note.si(str(path), str(number)) for number in range(QUEUED // 4)))
    staged.worker()
    for _ in range(3):
        seen = len(lines(path))
        wait_until(lambda seen=seen: len(lines(path)) > seen or run.info().status.is_final, SECONDS)  # type: ignore[misc]
        run.pause()
        run.resume()
    assert len(run.wait(timeout=SECONDS).result()) == QUEUED // 4
    assert set(Counter(lines(path)).values()) == {1}


def test_a_pause_says_who_has_not_confirmed_it(staged: Staged, tmp_path: Path) -> None:
    project, path = staged.project, tmp_path / "notes"
    note = project.app.tasks["note"]
    worker = staged.worker()
    run = project.segue.start(project.sig("wait_for_file", str(tmp_path / "go")) | note.si(str(path), "x"))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        other = project.segue.start(group(note.si(str(path), str(number)) for number in range(5)))
        with pytest.raises(WaitTimeoutError, match=r"node-worker-0.* did not confirm"):
            other.pause()
        assert other.status == "paused"
        applied = project.segue.select(ids=[other.id]).pause()
        assert [name.partition("@")[0] for name in applied.unconfirmed] == ["node-worker-0"]
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)

    def is_confirmed() -> bool:
        try:
            return other.pause() == "paused"
        except WaitTimeoutError:  # it has been silent for so long that it is not waited for
            return False

    wait_until(is_confirmed, SECONDS)
    begun = len(lines(path))  # what the worker had already may have begun before it heard of the pause
    (tmp_path / "go").touch()
    assert run.wait(timeout=SECONDS).result() == "x"
    assert len(lines(path)) == begun + 1
    other.resume()
    assert len(other.wait(timeout=SECONDS).result()) == 5


def test_a_pause_waits_for_nobody_if_nothing_was_sent(project: Project) -> None:
    run = project.segue.start(project.sig("same", 1).set(countdown=3600))
    begun = time.monotonic()
    run.pause()
    assert time.monotonic() - begun < 4
    run.cancel()


def test_a_second_delivery_that_a_halt_stops_leaves_the_first_one_alone(segue: Segue) -> None:
    """The first one runs on another worker. What the own node took for a task that runs is given back."""
    app = Celery("halts", broker="memory://", backend="cache+memory://")
    door = install(app, segue, fence="always")
    door.shared, door.is_prefork, door._home = mmap.mmap(-1, 64), True, -1  # as in a child of a worker
    node = Node("step", "celery:step", queue="@celery:celery", executor="celery")
    [run_id] = segue.engine.start([(Plan("halted", (node,)), None)])
    engine, attempt = segue.engine, (run_id, 0, 1)
    worker = WorkerIdentity(
        id=engine.new_id(), name="another", queues=(), tasks=(), lease_seconds=60.0, namespace=engine.namespace
    )  # fmt: skip
    engine.register(worker, pool="celery", concurrency=1, version="")
    assert engine.act(begin_steps, [attempt], worker_id=worker.id) == [attempt]
    engine.act(pause_run, run_id)
    door.halts.look(None)
    assert door.halts.stops(attempt)
    assert segue.get(run_id).steps()[0].status == "running"
    door.shared[:36] = worker.id.encode("ascii")
    assert door.halts.stops(attempt)
    assert segue.get(run_id).steps()[0].status == "ready"
    app.close()
