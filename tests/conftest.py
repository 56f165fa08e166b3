"""What all tests share: databases, one fresh one per test, and the kinds of tests, named after the folders.

`sqlite_url`, `postgres_url`
    the URL of an empty database of one dialect
`database_url`
    both in turn, as `[sqlite]` and `[postgres]`; tests that use it name no dialect
`fresh_url`
    a function that makes another empty database at each call, for Hypothesis and for tests that need several
`segue`
    a `Segue` on `database_url`, closed afterwards
`own_postgres`
    a `PostgresServer` that belongs to the test alone and may be stopped and started

The first test that needs PostgreSQL starts it. `SEGUE_TEST_POSTGRES_URL` names a server to use instead; its user must
be allowed to create databases, and only databases that the tests made are touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from segue.authoring import registry
from segue.observing.observers import observers
from tests.servers import postgres, receiver

if TYPE_CHECKING:
    from segue import Segue

KINDS = ("unit", "property", "contract", "system", "crash", "docs")
TESTS = Path(__file__).parent

# An example may take long on a busy machine, and it makes a database of its own with `fresh_url`.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("soak", settings.get_profile("default"), max_examples=5000)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith("SEGUE_") and not name.startswith("SEGUE_TEST_")]:
        del os.environ[name]  # the developer's own settings are not the tests'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(kind_of(item.path))


def kind_of(path: Path) -> str:
    """The kind of the tests in a file, which is the folder that it is in."""
    where = path.relative_to(TESTS).parts
    if where == ("test_house.py",):
        return "house"
    if where[0] in KINDS:
        return where[0]
    raise pytest.UsageError(f"{path} is in none of the folders tests/{{{','.join(KINDS)}}}: a test must have a kind.")


@contextmanager
def only_tasks_of(*packages: str) -> Iterator[None]:
    """Let the process know only the tasks and workflows that come with Segue, and those of these packages.

    A whole suite imports many modules whose tasks share short names; a command line never does.
    """
    before = [(known, dict(known)) for known in (registry.tasks, registry.workflows)]
    for known, _ in before:
        for name, found in list(known.items()):
            if not f"{found.fn.__module__}.".startswith(("segue.authoring.", *(f"{package}." for package in packages))):
                del known[name]
    yield
    for known, all_of_them in before:
        known |= all_of_them  # with what was imported meanwhile, because it is not imported again


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    """Forget the tasks and workflows that a test function defines; those of modules stay."""
    before = {*registry.tasks, *registry.workflows}
    yield
    for names in (registry.tasks, registry.workflows):
        for name, found in list(names.items()):
            if name not in before and "<locals>" in found.fn.__qualname__:
                del names[name]


@pytest.fixture(autouse=True)
def observers_as_they_were() -> Iterator[None]:
    """Forget the observers that a test registers."""
    before = dict(observers._registered)
    yield
    observers._registered = before
    observers._update()


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    """The server that all tests share, as a user who may create databases."""
    with postgres.serving() as url:
        yield url


@pytest.fixture
def webhooks() -> Iterator[receiver.Receiver]:
    """A server that receives webhooks in this process."""
    with receiver.receiving() as found:
        yield found


@pytest.fixture
def own_postgres() -> Iterator[postgres.PostgresServer]:
    server = postgres.PostgresServer.create()
    yield server
    server.remove()


@pytest.fixture
def make_postgres_url(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    made: list[str] = []

    def make() -> str:
        made.append(postgres.create_database(request.getfixturevalue("postgres_server_url")))
        return made[-1]

    yield make
    for url in made:
        postgres.drop_database(url)


@pytest.fixture
def make_sqlite_url(tmp_path: Path) -> Callable[[], str]:
    made: list[str] = []

    def make() -> str:
        made.append(f"sqlite:///{tmp_path}/segue-{len(made)}.db")
        return made[-1]

    return make


@pytest.fixture
def postgres_url(make_postgres_url: Callable[[], str]) -> str:
    return make_postgres_url()


@pytest.fixture
def sqlite_url(make_sqlite_url: Callable[[], str]) -> str:
    return make_sqlite_url()


@pytest.fixture(params=["sqlite", "postgres"])
def fresh_url(request: pytest.FixtureRequest) -> Callable[[], str]:
    make: Callable[[], str] = request.getfixturevalue(f"make_{request.param}_url")
    return make


@pytest.fixture
def database_url(fresh_url: Callable[[], str]) -> str:
    return fresh_url()


@pytest.fixture
def segue(database_url: str) -> Iterator[Segue]:
    from segue import Segue

    segue = Segue(database_url)
    yield segue
    segue.close()
