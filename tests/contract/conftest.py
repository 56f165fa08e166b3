"""The stage of every contract test: one empty database of each dialect, driven by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from segue.engine.transactional import TaskTransactions
from segue.testing import Workbench
from tests.conftest import a_database
from tests.contract.recording import CALLS
from tests.contract.stage import Stage, connect


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    stage = Stage(database_url)
    yield stage
    assert stage.engine.broken_invariants() == []
    stage.close()


@pytest.fixture
def renewed_stage(lasting_stage: Stage) -> Iterator[Stage]:
    """The stage of the module, emptied: for modules whose tests only change rows.

    Small tests take about a third of the time that they take on databases of their own.
    """
    lasting_stage.renew()
    store, shape = lasting_stage.store, lasting_stage.shape()
    yield lasting_stage
    assert lasting_stage.store is store
    assert lasting_stage.shape() == shape, "This test changes tables, so it needs a stage of its own."
    assert lasting_stage.is_sound()


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
    """A stage on a ready database, for a fixture whose parameter is the dialect."""
    with a_database(request.param, request, folders.mktemp("stage")) as url:
        stage = Stage(url)
        yield stage
        stage.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def lasting_stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage for all tests of a module, which call `renew` first: making a database takes longer than most tests."""
    yield from stage_of_a_module(request, tmp_path_factory)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one_stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One database for all tests of a module, to be emptied by each: quicker where there are many small ones."""
    yield from stage_of_a_module(request, tmp_path_factory)


@pytest.fixture
def bench(database_url: str) -> Iterator[Workbench]:
    """A bench for the tasks of `recording`."""
    CALLS.clear()
    with Workbench(database_url) as made:
        yield made
        assert made.segue.engine.broken_invariants() == []
