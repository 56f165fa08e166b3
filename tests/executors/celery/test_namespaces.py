"""Two projects share a database: each has a namespace, an app and a broker, and the executor the same name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery, chain

from segue import Run, Segue
from segue.executors.celery import install
from segue.executors.celery.door import door_of
from segue.executors.celery.repairing import repair
from tests.executors.celery.conftest import wait_until


class Shop:
    """A project: its messages and results are in Redis databases of its own."""

    def __init__(self, url: str, number: int, database_url: str) -> None:
        self.broker = redis.Redis.from_url(f"{url}/{2 * number}")
        self.app = Celery("shop", broker=f"{url}/{2 * number}", backend=f"{url}/{2 * number + 1}", set_as_current=False)
        self.segue = Segue(database_url, namespace=f"shop{number}")
        install(self.app, self.segue, lease_seconds=0.1)

        @self.app.task(name="same", shared=False)
        def same(value: int) -> int:
            return value

        self.same = same

    def start(self) -> Run:
        return self.segue.start(chain(self.same.s(1), self.same.s()))


@pytest.fixture
def shops(own_redis: str, database_url: str) -> Iterator[list[Shop]]:
    found = [Shop(own_redis, number, database_url) for number in range(2)]
    found[0].segue.upgrade()
    yield found
    for shop in found:
        shop.segue.close()
        shop.app.close()


def test_a_message_is_sent_again_by_its_own_project(shops: list[Shop], tmp_path: Path) -> None:
    ours, theirs = shops
    run = theirs.start()
    theirs.broker.delete("celery")
    ours.start()
    ours.broker.delete("celery")
    wait_until(lambda: repair(door_of(ours.app)) > 0)
    assert (ours.broker.llen("celery"), run.steps()[0].attempt) == (1, 1)
    wait_until(lambda: repair(door_of(theirs.app)) > 0)
    assert (theirs.broker.llen("celery"), run.steps()[0].attempt) == (1, 2)


def test_the_result_of_what_will_not_run_is_written_where_its_project_looks(shops: list[Shop]) -> None:
    ours, theirs = shops
    run = theirs.start()
    run.cancel()
    handle = str(run.steps()[1].handle)
    door_of(ours.app).mirror()
    door_of(theirs.app).mirror()
    assert theirs.app.AsyncResult(handle).state == "REVOKED"
    assert ours.app.AsyncResult(handle).state == "PENDING"
