"""Nothing is lost and nothing counts twice: workers die, the broker forgets, messages come twice."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import redis
from dramatiq import Message

from segue.executors.dramatiq import Chain, Group
from segue.scheduler.chores import Chores
from tests.executors.dramatiq.conftest import Staged, wait_until

SECONDS = 60


def broker_of(staged: Staged) -> redis.Redis:
    return redis.Redis.from_url(staged.broker_url)


def test_a_broker_that_forgets_everything_loses_nothing(impatient: Staged) -> None:
    project = impatient.project
    run = project.segue.start(project.message("add", 1, 2) | project.message("add", 3))
    assert broker_of(impatient).llen("dramatiq:default") == 1
    broker_of(impatient).flushall()
    impatient.worker()
    assert run.wait(timeout=SECONDS).result() == 6


def test_a_worker_that_is_killed_is_lost_and_its_steps_go_on(impatient: Staged, tmp_path: Path) -> None:
    project, seen, begun = impatient.project, tmp_path / "seen", tmp_path / "begun"
    with Chores(project.segue.engine):  # the process that leads is not the one that dies
        first = impatient.worker()
        message = project.message("note_and_wait", str(begun), str(seen))
        run = project.segue.start(Chain(message, project.message("add", 1)))
        wait_until(begun.exists, SECONDS)
        first.kill()
        seen.touch()
        impatient.worker()
        assert run.wait(timeout=SECONDS).result() == 1
    assert run.steps()[0].losses == 1
    assert begun.read_text() == "begun\nbegun\n"


def test_of_messages_that_come_again_and_again_one_runs(impatient: Staged, tmp_path: Path) -> None:
    project = impatient.project
    path = tmp_path / "ran"
    work = Group(*(project.message("note", str(path), str(number)) for number in range(5)))
    run = project.segue.start(Chain(work, project.message("note", str(path), "end")))
    client = broker_of(impatient)
    messages = [Message.decode(each) for each in client.hvals("dramatiq:default.msgs")]  # type: ignore[union-attr]
    assert len(messages) == 5
    for message in messages:
        for _ in range(3):
            own_id = str(uuid4())
            client.hset("dramatiq:default.msgs", own_id, message.copy(options={"redis_message_id": own_id}).encode())
            client.rpush("dramatiq:default", own_id)
    impatient.worker()
    assert run.wait(timeout=SECONDS).status == "succeeded"
    wait_until(lambda: client.hlen("dramatiq:default.msgs") == 0)
    assert sorted(path.read_text().split()) == [*map(str, range(5)), "end"]
