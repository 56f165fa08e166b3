"""The stage of every contract test: one empty database of each dialect, driven by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from segue.engine.transactional import TaskTransactions
from tests.contract.acting import Stage, connect
from tests.servers import postgres


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    stage = Stage(database_url)
    yield stage
    assert stage.engine.broken_invariants() == []
    stage.close()


@pytest.fixture
def orders(stage: Stage) -> Callable[[], list[int]]:
    """A table of the user's; what is committed in it."""
    with connect(stage.store.url) as connection:
        connection.execute("CREATE TABLE orders (id integer)")
        connection.commit()

    def committed() -> list[int]:
        with connect(stage.store.url) as connection:
            return sorted(row[0] for row in connection.execute("SELECT id FROM orders").fetchall())

    return committed


@pytest.fixture
def transactions(stage: Stage) -> Iterator[TaskTransactions]:
    found = TaskTransactions(lambda: stage.store)
    yield found
    found.close()


def stage_of_a_module(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Iterator[Stage]:
    made = None
    if request.param == "sqlite":
        url = f"sqlite:///{folders.mktemp('stage')}/segue.db"
    else:
        url = made = postgres.create_database(request.getfixturevalue("postgres_server_url"))
    stage = Stage(url)
    yield stage
    stage.close()
    if made is not None:
        postgres.drop_database(made)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def lasting_stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage for all tests of a module, which call `renew` first: making a database takes longer than most tests."""
    yield from stage_of_a_module(request, tmp_path_factory)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one_stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One database for all tests of a module, to be emptied by each: quicker where there are many small ones."""
    yield from stage_of_a_module(request, tmp_path_factory)
