"""What an executor is sent does not depend on the collation of the database."""

from __future__ import annotations

from collections.abc import Iterator
from os import getpid

import psycopg
import pytest

from tests.contract.limiting import define, use
from tests.contract.stage import Stage, node, plan
from tests.contract.test_sending import TASK, far, names, take
from tests.servers import postgres


@pytest.fixture
def stage(postgres_server_url: str) -> Iterator[Stage]:
    """In a database whose collation sorts punctuation as people do: ';' before ':', and '@' before both."""
    name = f"segue_test_collated_{getpid()}"
    with psycopg.connect(postgres_server_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE \"{name}\" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'"
        )
    url = postgres.with_database(postgres_server_url, name)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT ';' < ':' COLLATE \"default\"").fetchone() == (True,)
    stage = Stage(url)
    stage.store.upgrade()
    yield stage
    stage.close()
    postgres.drop_database(url)


def test_steps_and_lanes_of_an_executor_are_found(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(
        far("plain"), far("limited", use("api", "x")), far("waits", use("api", "x")),
        node("other", executor="doors", queue="@doors:a", task=TASK), node("near"),
    ))  # fmt: skip
    assert sorted(names(take(stage))) == ["limited", "plain"]
    define(stage, "queue:@door:b", concurrency=1)
    stage.advance(2)
    stage.start(plan(far("b0", queue="@door:b"), far("b1", queue="@door:b")))
    assert names(take(stage)) == ["b0"]
