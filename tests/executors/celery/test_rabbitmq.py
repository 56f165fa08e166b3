"""The same on RabbitMQ, with results as messages (rpc://)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from socket import SHUT_RDWR

import pytest
from celery import chain, chord, group
from kombu import Connection, Queue

from segue.executors.celery.door import door_of
from segue.executors.celery.repairing import repair
from tests.conftest import a_database
from tests.executors.celery.conftest import Project, Staged, a_project, wait_until
from tests.executors.celery.test_canvases import (  # noqa: F401 - they run here with the broker of this module
    test_a_lone_task_is_celerys_alone,
    test_a_retry_stays_in_its_step_and_its_delay_is_a_row,
    test_a_started_canvas_has_the_value_that_celery_documents,
    test_a_task_that_replaces_itself_has_the_value_of_what_replaced_it,
    test_an_applied_canvas_goes_through_segue_and_its_result_object_has_the_value,
    test_the_error_callback_of_a_chord_comes_once_when_all_of_the_header_has_ended,
)
from tests.executors.celery.test_limits import check_that_later_steps_go_first
from tests.executors.celery.test_requests import (  # noqa: F401
    test_a_member_adds_to_its_chord,
    test_a_task_that_empties_its_chain_ends_it,
)
from tests.servers.rabbitmq import RabbitmqMissingError, find_program, running_rabbitmq

SECONDS = 60


@pytest.fixture(scope="module")
def rabbitmq_url() -> Iterator[str]:
    try:
        find_program()
    except RabbitmqMissingError as error:
        pytest.skip(str(error))
    with running_rabbitmq() as url:
        yield url


@pytest.fixture(scope="module")
def project(
    request: pytest.FixtureRequest, rabbitmq_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:  # fmt: skip
    folder = tmp_path_factory.mktemp("celery")
    with a_database("sqlite", request, folder) as url, a_project(rabbitmq_url, url, folder, backend="rpc://") as found:
        yield found


@pytest.fixture
def impatient(rabbitmq_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Staged]:
    """No worker yet, in a queue of the test's own; messages are soon taken for lost."""
    stage = Staged(rabbitmq_url, sqlite_url, tmp_path, lease_seconds=2.0, backend="rpc://", queue=tmp_path.name)
    yield stage
    stage.close()


def depth(stage: Staged) -> int:
    """How many messages wait at the broker."""
    with Connection(stage.broker) as connection:
        return int(connection.default_channel.queue_declare(stage.queue, passive=True).message_count)


def test_a_broker_that_forgets_everything_loses_nothing(impatient: Staged) -> None:
    project = impatient.project
    run = project.segue.start(chain(project.sig("add", 1, 2), project.sig("add", 3)))
    wait_until(lambda: depth(impatient) == 1)
    with Connection(impatient.broker) as connection:
        connection.default_channel.queue_purge(impatient.queue)
    impatient.worker()
    assert run.wait(timeout=SECONDS).result() == 6


def test_what_a_dead_worker_had_is_done_by_another(impatient: Staged, tmp_path: Path) -> None:
    first = impatient.worker()
    project = impatient.project
    seen = tmp_path / "file"
    header = [project.sig("wait_for_file", str(seen)), project.sig("same", 1)]
    run = project.segue.start(chord(header, project.sig("same")))
    wait_until(lambda: "running" in [step.status for step in run.steps()], SECONDS)
    first.kill()
    seen.touch()
    impatient.worker()
    assert run.wait(timeout=SECONDS).result() == ["seen", 1]
    assert all(step.attempt <= 3 for step in run.steps())


def test_a_message_that_comes_twice_runs_once_where_each_start_is_asked_for(impatient: Staged, tmp_path: Path) -> None:
    project = impatient.project
    path = tmp_path / "notes"
    run = project.segue.start(chain(project.app.tasks["note"].si(str(path), "first"), project.sig("same")))
    with Connection(impatient.broker) as connection:
        channel = connection.default_channel
        message = channel.basic_get(impatient.queue, no_ack=True)
        for _ in range(3):
            channel.basic_publish(message, exchange="", routing_key=impatient.queue)
    impatient.worker(fence="always")
    assert run.wait(timeout=SECONDS).result() == "first"
    wait_until(lambda: depth(impatient) == 0)
    assert path.read_text().split() == ["first"]


def test_a_group_is_sent_when_the_connection_was_lost_meanwhile(impatient: Staged) -> None:
    """As after a while without messages: RabbitMQ closes connections of processes that show no sign of life."""
    project = impatient.project
    project.segue.start(chain(project.sig("same", 1), project.sig("same")))
    wait_until(lambda: depth(impatient) == 1)
    with project.app.producer_or_acquire() as producer:
        producer.connection.connection.transport.sock.shutdown(SHUT_RDWR)
    project.segue.start(group(project.sig("same", number) for number in range(5)))
    wait_until(lambda: depth(impatient) == 6, 5)


def test_a_queue_that_is_declared_otherwise_holds_up_no_other(impatient: Staged) -> None:
    project, same = impatient.project, impatient.project.app.tasks["same"]
    with Connection(impatient.broker) as connection:
        connection.default_channel.queue_declare("with other arguments", durable=False, auto_delete=False)
    wrong = same.si(0).set(queue="with other arguments")
    sound = [same.si(number) for number in range(3)]
    project.segue.start(group(wrong, wrong, *sound))
    project.segue.start(group(wrong, *sound, wrong, sound[0]))
    wait_until(lambda: depth(impatient) == 7, 5)


def test_a_queue_that_is_gone_says_nothing_of_the_others(impatient: Staged) -> None:
    """Whatever their type; RabbitMQ ends the channel on which it is asked for the one that is gone."""
    project, app = impatient.project, impatient.project.app
    quorum = Queue(f"{impatient.queue}-quorum", queue_arguments={"x-queue-type": "quorum"})
    app.amqp.queues.max_priority = None
    app.amqp.queues.add(quorum)
    runs = []
    for queue in ("gone", quorum.name, "sound"):
        same = app.tasks["same"].si(0).set(queue=queue)
        runs += [project.segue.start(chain(same, same)) for _ in range(3)]
    with Connection(impatient.broker) as connection:
        connection.default_channel.queue_delete("gone")
    until = runs[-1].steps()[0].sent_until
    assert until is not None
    wait_until(lambda: project.segue.engine.store.now() > until)
    assert repair(door_of(app)) == 3
    assert [run.steps()[0].attempt for run in runs] == [2, 2, 2, 1, 1, 1, 1, 1, 1]


def test_later_steps_go_first(impatient: Staged, tmp_path: Path) -> None:
    check_that_later_steps_go_first(impatient, tmp_path)
