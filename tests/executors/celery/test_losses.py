"""Nothing is lost and nothing counts twice: children and workers die, the broker forgets, messages come twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
from celery import chain, chord

from segue.engine.executing import begin_steps
from segue.errors import RunFailedError
from tests.executors.celery.conftest import Staged, wait_until

SECONDS = 60


def broker_of(staged: Staged) -> redis.Redis:
    return redis.Redis.from_url(f"{staged.broker}/0")


def test_a_child_that_is_killed_is_a_loss_and_the_step_is_tried_again(staged: Staged, tmp_path: Path) -> None:
    staged.worker()
    project = staged.project
    header = [project.sig("die_once", str(tmp_path / "died")), project.sig("same", "other")]
    run = project.segue.start(chord(header, project.sig("same")))
    assert run.wait(timeout=SECONDS).result() == ["survived", "other"]


@pytest.mark.proof
def test_a_step_that_kills_every_child_fails_and_the_chord_ends(impatient: Staged) -> None:
    # Celery's pool may lose a task while its children die one after another: then its message is sent again
    impatient.worker()
    project = impatient.project
    result = chord([project.sig("die_always"), project.sig("same", 1)], project.sig("same")).apply_async()
    with pytest.raises(Exception, match=r"lost|exited|Worker"):
        result.get(timeout=SECONDS)
    [run] = project.segue.runs(limit=1)
    with pytest.raises(RunFailedError):
        project.segue.get(run.id).wait(timeout=SECONDS).result()


def test_a_broker_that_forgets_everything_loses_nothing(impatient: Staged) -> None:
    project = impatient.project
    run = project.segue.start(chain(project.sig("add", 1, 2), project.sig("add", 3)))
    assert broker_of(impatient).llen("celery") == 1
    broker_of(impatient).flushall()
    impatient.worker()
    assert run.wait(timeout=SECONDS).result() == 6


def test_a_worker_that_dies_with_all_its_children_is_lost_and_its_steps_go_on(
    impatient: Staged, tmp_path: Path
) -> None:
    first = impatient.worker()
    project = impatient.project
    seen = tmp_path / "file"
    run = project.segue.start(chain(project.sig("wait_for_file", str(seen)), project.sig("same")))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    first.kill()
    seen.touch()
    impatient.worker()
    assert run.wait(timeout=SECONDS).result() == "seen"
    assert run.steps()[0].attempt >= 2


@pytest.mark.parametrize("fence", ["suspect", "always"])
def test_a_message_that_comes_three_times_is_recorded_once(staged: Staged, tmp_path: Path, fence: str) -> None:
    project = staged.project
    path = tmp_path / "notes"
    run = project.segue.start(chain(project.app.tasks["note"].si(str(path), "first"), project.sig("same")))
    broker = broker_of(staged)
    [message] = broker.lrange("celery", 0, -1)
    broker.rpush("celery", message, message)
    staged.worker(fence=fence)
    assert run.wait(timeout=SECONDS).result() == "first"
    assert [step.attempt for step in run.steps()] == [1, 1]
    if fence == "always":
        assert path.read_text().split() == ["first"]


def test_a_task_that_waited_for_its_worker_begins_under_its_lease(impatient: Staged, tmp_path: Path) -> None:
    """It asks before it begins, at the moment when the worker has only just started."""
    project, until = impatient.project, tmp_path / "until"
    run = project.segue.start(chain(project.sig("wait_for_file", str(until)), project.sig("same")))
    first = impatient.worker(fence="always")
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    assert run.steps()[0].worker_id is not None
    first.kill()
    until.touch()
    impatient.worker(fence="always")
    assert run.wait(timeout=SECONDS).result() == "seen"


@pytest.mark.parametrize("fence", ["suspect", "always"])
@pytest.mark.parametrize("is_said", [True, False], ids=["marked as delivered again", "not marked"])
def test_a_message_that_comes_again_while_its_task_runs_is_turned_away(
    staged: Staged, tmp_path: Path, fence: str, is_said: bool
) -> None:
    project, path, until = staged.project, tmp_path / "notes", tmp_path / "until"
    run = project.segue.start(chain(project.app.tasks["note_and_wait"].si(str(path), str(until)), project.sig("same")))
    broker = broker_of(staged)
    [message] = broker.lrange("celery", 0, -1)
    again = json.loads(message)
    if is_said:
        again["headers"]["redelivered"] = again["properties"]["delivery_info"]["redelivered"] = True
    again["properties"]["delivery_tag"] = "another"
    staged.worker(fence=fence)
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    broker.lpush("celery", json.dumps(again))
    assert project.app.tasks["same"].delay("behind it").get(timeout=SECONDS) == "behind it"
    until.touch()
    assert run.wait(timeout=SECONDS).result() == "seen"
    assert path.read_text().split() == ["begun"]


@pytest.mark.parametrize("how", ["reject", "die"])
def test_a_message_that_celery_puts_back_is_begun_by_another_worker(
    impatient: Staged, tmp_path: Path, how: str
) -> None:
    """The worker that gave it back lives, and had said that the step runs there."""
    project, path, until = impatient.project, tmp_path / "notes", tmp_path / "until"
    impatient.worker()
    again = project.app.tasks["give_back_once"].si(str(path), str(until), how)
    run = project.segue.start(chain(again, project.sig("same")))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    impatient.worker()
    project.app.control.cancel_consumer("celery", destination=[run.steps()[0].worker], reply=True, timeout=5)
    until.touch()
    assert run.wait(timeout=SECONDS).result() == "again"
    assert path.read_text().split() == ["begun", "begun"]
    assert run.steps()[0].losses == (how == "die")


def test_a_step_whose_child_always_dies_ends_where_celery_would_requeue_it(impatient: Staged) -> None:
    impatient.worker(PROJECT_ACKS_LATE="1")
    result = chain(impatient.project.sig("die_always"), impatient.project.sig("same")).apply_async()
    with pytest.raises(Exception, match=r"lost|exited|Worker"):
        result.get(timeout=SECONDS)


def test_a_step_that_runs_under_the_lease_of_a_worker_that_does_not_have_it_is_sent_again(staged: Staged) -> None:
    """As when the end of a task could not be recorded."""
    project = staged.project
    run = project.segue.start(chain(project.sig("same", 1), project.sig("same")))
    broker_of(staged).delete("celery")
    staged.worker()
    [worker] = project.segue.workers()
    assert project.segue.engine.act(begin_steps, [(run.id, 0, 1)], worker_id=worker.id) == [(run.id, 0, 1)]
    assert run.wait(timeout=SECONDS).result() == 1
    assert (run.steps()[0].attempt, run.steps()[0].losses) == (2, 1)


def test_steps_wait_in_the_database_while_the_broker_is_away(staged: Staged) -> None:
    project = staged.project
    broker_of(staged).shutdown(nosave=True)
    run = project.segue.start(project.sig("add", 1, 2) | project.sig("add", 3))
    assert run.steps()[0].status == "sent"
