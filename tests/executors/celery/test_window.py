"""A broker holds a window of what is to be done, and its messages are not taken for lost while they wait there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis
from celery import chain, chord, group

from segue.engine.claiming.window import WINDOW
from segue.errors import ConfigError
from segue.executors.celery import install
from tests.executors.celery.conftest import Staged, wait_until

SECONDS = 60


def waiting(staged: Staged) -> int:
    return redis.Redis.from_url(f"{staged.broker}/0").llen("celery")


@pytest.mark.proof
def test_a_large_chord_waits_in_the_database_and_all_of_it_runs(staged: Staged) -> None:
    project, count = staged.project, 1800
    run = project.segue.start(chord([project.sig("same", number) for number in range(count)], project.sig("total")))
    assert WINDOW / 2 <= waiting(staged) <= WINDOW
    [reason] = run.explain(step=count - 1)
    assert reason.code == "no_worker"
    first = staged.worker()
    most = 0
    while not run.status.is_final:
        most = max(most, waiting(staged))
        time.sleep(0.01)
    assert most <= WINDOW + 200
    assert run.wait(timeout=SECONDS).result() == sum(range(count))
    first.stop()


def test_explain_says_that_a_step_waits_for_the_window(staged: Staged, tmp_path: Path) -> None:
    project, until = staged.project, tmp_path / "until"
    staged.worker()
    run = project.segue.start(group(project.sig("wait_for_file", str(until)) for _ in range(WINDOW + 400)))
    [reason] = run.explain(step=WINDOW + 399)
    assert reason.code == "to_be_sent"
    assert "steps of this queue were sent and have not begun" in reason.text
    run.cancel()
    until.touch()


def test_messages_behind_slow_tasks_are_not_sent_again(unhurried: Staged, tmp_path: Path) -> None:
    """In the broker, and in the hands of a worker, for more than twice as long as messages are waited for."""
    project, until = unhurried.project, tmp_path / "until"
    unhurried.worker()
    slow = project.sig("wait_for_file", str(until))
    runs = [project.segue.start(chain(slow, project.sig("same"))) for _ in range(4)]  # two run, two are held
    runs.append(project.segue.start(chain(group([slow] * 30), project.sig("same"))))
    wait_until(lambda: sum(run.steps()[0].status == "running" for run in runs) == 2, SECONDS)
    time.sleep(11)
    assert {step.attempt for run in runs for step in run.steps() if step.status == "sent"} == {1}
    until.touch()
    assert {run.wait(timeout=SECONDS).status for run in runs} == {"succeeded"}
    assert {step.attempt for run in runs for step in run.steps()} == {1}


def test_messages_that_wait_in_a_worker_for_the_rate_of_their_task_are_not_sent_again(unhurried: Staged) -> None:
    """They are neither in the broker nor with the pool, for longer than messages are waited for."""
    project = unhurried.project
    unhurried.worker()
    runs = [project.segue.start(chain(project.sig("rarely", number), project.sig("same"))) for number in range(3)]
    assert [run.wait(timeout=SECONDS).result() for run in runs] == [0, 1, 2]
    assert {step.attempt for run in runs for step in run.steps()} == {1}


def test_a_message_that_is_lost_from_a_long_queue_is_sent_again(impatient: Staged, tmp_path: Path) -> None:
    """The queue has fewer messages than were sent: the oldest of them are those that it lacks."""
    project, until = impatient.project, tmp_path / "until"
    runs = [project.segue.start(chain(project.sig("same", n), project.sig("same"))) for n in range(10)]
    redis.Redis.from_url(f"{impatient.broker}/0").rpop("celery", 3)
    until.touch()
    impatient.worker()
    for number, run in enumerate(runs):
        assert run.wait(timeout=SECONDS).result() == number


def test_a_queue_that_the_broker_does_not_have_says_nothing_of_the_others(impatient: Staged) -> None:
    """Redis has no queue that is empty."""
    project, same = impatient.project, impatient.project.app.tasks["same"]
    lost = project.segue.start(chain(same.si(0).set(queue="a lost one"), same.s()))
    others = [project.segue.start(chain(same.si(0).set(queue="another"), same.s())) for _ in range(3)]
    redis.Redis.from_url(f"{impatient.broker}/0").delete("a lost one")
    impatient.worker(PROJECT_QUEUE="unrelated")
    wait_until(lambda: lost.steps()[0].attempt == 2, SECONDS)
    looked_at = [run.steps()[0].sent_until for run in others]
    wait_until(lambda: all(run.steps()[0].sent_until not in looked_at for run in others), SECONDS)
    assert {run.steps()[0].attempt for run in others} == {1}


@pytest.mark.parametrize("fields", [{"window": 0}, {"window": "many"}, {"window": True}, {"lease_seconds": -1.0},
                                    {"lease_seconds": "5"}, {"lease_seconds": float("nan")}])  # fmt: skip
def test_wrong_numbers_are_refused(staged: Staged, fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"install\\({next(iter(fields))}"):
        install(staged.project.app, staged.project.segue, **fields)  # type: ignore[arg-type]
