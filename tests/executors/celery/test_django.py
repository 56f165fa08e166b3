"""A canvas that is started inside Django's `transaction.atomic` begins with its commit, or never existed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
import sqlalchemy
from celery import chord
from django.conf import settings
from django.db import transaction
from django.db.utils import ConnectionHandler

from tests.executors.celery.conftest import Staged

SECONDS = 40


@pytest.fixture
def connection(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Django's connection to the database, with a table of the project."""
    if not settings.configured:
        settings.configure(USE_TZ=True)
    parts = sqlalchemy.engine.make_url(staged.url)
    database: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.database}
    if not staged.url.startswith("sqlite"):
        database = {
            "ENGINE": "django.db.backends.postgresql", "NAME": parts.database, "HOST": parts.host, "PORT": parts.port,
            "USER": parts.username, "PASSWORD": parts.password or "",
        }  # fmt: skip
    handler = ConnectionHandler({"default": database})
    monkeypatch.setattr(transaction, "connections", handler)
    with handler["default"].cursor() as cursor:
        cursor.execute("CREATE TABLE orders (number integer)")
    yield handler["default"]
    handler["default"].close()


def orders(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orders")
        found: int = cursor.fetchone()[0]
        return found


def place(staged: Staged, connection: Any) -> Any:
    """What a view does: a row of its own, and the work that belongs to it."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (7)")
    project = staged.project
    canvas = chord([project.sig("add", 1, 1), project.sig("add", 2, 2)], project.sig("total"))
    return project.segue.start(canvas, connection=connection)


def place_and_fail(staged: Staged, connection: Any) -> None:
    """The same in a block that raises afterwards."""

    @transaction.atomic
    def view() -> None:
        place(staged, connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        view()


def messages(staged: Staged) -> int:
    found: Any = redis.Redis.from_url(f"{staged.broker}/0").llen("celery")
    return int(found)


def test_a_commit_keeps_both_and_messages_go_out_after_it(staged: Staged, connection: Any) -> None:
    staged.worker()
    with transaction.atomic():
        run = place(staged, connection)
        assert messages(staged) == 0
        assert staged.project.segue.runs() == []
    assert run.wait(timeout=SECONDS).result() == 6
    assert orders(connection) == 1


def test_a_rollback_leaves_neither(staged: Staged, connection: Any) -> None:
    staged.worker()
    place_and_fail(staged, connection)
    assert (orders(connection), staged.project.segue.runs()) == (0, [])
    with transaction.atomic():
        run = place(staged, connection)  # what is started now is the first that ever ran
    run.wait(timeout=SECONDS).result()
    assert [each.id for each in staged.project.segue.runs()] == [run.id]
    assert messages(staged) == 0


def test_a_savepoint_that_is_rolled_back_takes_its_canvas_along(staged: Staged, connection: Any) -> None:
    with transaction.atomic():
        kept = place(staged, connection)
        place_and_fail(staged, connection)
    assert [each.id for each in staged.project.segue.runs()] == [kept.id]
    assert messages(staged) == 0  # no worker is there to send
    staged.worker()
    assert kept.wait(timeout=SECONDS).result() == 6
