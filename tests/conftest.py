"""What all tests share: databases, one fresh one per test, and the kinds of tests, named after the folders.

`sqlite_url`, `postgres_url`
    the URL of an empty database of one dialect; it has Segue's tables
`database_url`
    both in turn, as `[sqlite]` and `[postgres]`; tests that use it name no dialect
`fresh_url`
    a function that makes another empty database at each call, for tests that need several
`bare_url`
    the same for databases that have no tables yet
`segue`
    a `Segue` on `database_url`, closed afterwards
`own_postgres`
    a `PostgresServer` that belongs to the test alone and may be stopped and started

The first test that needs PostgreSQL starts it. `SEGUE_TEST_POSTGRES_URL` names a server to use instead; its user must
be allowed to create databases, and only databases that the tests made are touched.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings

from segue.authoring import declared
from segue.authoring.middleware import middlewares
from segue.authoring.pushed import executors
from segue.observing.observers import observers
from segue.store import open_store
from tests.servers import postgres, receiver
from tests.servers.databases import ReadyDatabases
from tests.servers.folders import temporary_folder
from tests.thorough import IS_THOROUGH

if TYPE_CHECKING:
    from segue import Segue
    from tests.servers.objects import Bucket

KINDS = ("unit", "property", "contract", "executors", "system", "crash", "docs")
TESTS = Path(__file__).parent
ON_ONE_DATABASE = ("executors", "system", "crash", "property", "docs")
DIALECTS = ("sqlite", "postgres")
PROCESSES_PER_CORE = 1 if IS_THOROUGH else 2
"""With `-n auto`. Many tests wait for a process or a lease and need no core meanwhile; the thorough ones compute."""

# An example may take long on a busy machine, and it makes a database of its own with `fresh_url`.
settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,  # a change is judged by what it changes; `make proof` and `make soak` look for new examples
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("proof", settings.get_profile("default"), derandomize=False, max_examples=500)
settings.register_profile("soak", settings.get_profile("default"), derandomize=False, max_examples=5000)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith("SEGUE_") and not name.startswith("SEGUE_TEST_")]:
        del os.environ[name]  # the developer's own settings are not the tests'
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # or each process that the tests start would compile everything
        sys.dont_write_bytecode = False
    if "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary_folder())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """How many processes share the suite with `-n auto`, unless the environment says it."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return PROCESSES_PER_CORE * cores


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Leave all tests out of the collections of garbage: they stay, and each process of the suite has all of them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        item.add_marker(kind_of(item.path))
        (left_out if not IS_THOROUGH and is_for_the_proof(item) else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def is_for_the_proof(item: pytest.Item) -> bool:
    """Whether only `make proof` runs a test. Kinds that take long run on one of the two databases otherwise.

    Each database gets half of these tests, always the same ones. Those that are about what differs between the two have
    the marker `both`.
    """
    if item.get_closest_marker("proof"):
        return True
    callspec = getattr(item, "callspec", None)
    dialects = [value for value in callspec.params.values() if value in DIALECTS] if callspec else []
    if kind_of(item.path) not in ON_ONE_DATABASE or len(dialects) != 1 or item.get_closest_marker("both"):
        return False
    of_both = "|".join(item.nodeid.split(dialects[0]))
    return bool(dialects[0] != DIALECTS[crc32(of_both.encode()) % len(DIALECTS)])


def kind_of(path: Path) -> str:
    """The kind of the tests in a file, which is the folder that it is in."""
    where = path.relative_to(TESTS).parts
    if where == ("test_house.py",):
        return "house"
    if where[0] in KINDS:
        return where[0]
    raise pytest.UsageError(f"{path} is in none of the folders tests/{{{','.join(KINDS)}}}: a test must have a kind.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep what tests print and log fit for the processes that share the suite: some of it is no text on purpose."""
    report: pytest.TestReport = yield  # type: ignore[misc, assignment]
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    return report  # type: ignore[return-value]


@contextmanager
def only_tasks_of(*packages: str) -> Iterator[None]:
    """Let the process know only the tasks and workflows that come with Segue, and those of these packages.

    A whole suite imports many modules whose tasks share short names; a command line never does.
    """
    before = [(known, dict(known)) for known in (declared.tasks, declared.workflows)]
    for known, _ in before:
        for name, found in list(known.items()):
            if not f"{found.fn.__module__}.".startswith(("segue.authoring.", *(f"{package}." for package in packages))):
                del known[name]
    try:
        yield
    finally:
        for known, all_of_them in before:
            known |= all_of_them  # with what was imported meanwhile, because it is not imported again


@pytest.fixture
def no_other_executors() -> Iterator[None]:
    """No executor is registered but those that the test makes. Other modules of the suite leave theirs."""
    before = dict(executors)
    executors.clear()
    yield
    executors.clear()
    executors.update(before)


@pytest.fixture(autouse=True)
def registry_as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """Forget the tasks and workflows that a test function defines; those of modules stay.

    Where tests import no projects, they also forget executors, and what they make of functions of modules.
    """
    before = {*declared.tasks, *declared.workflows}
    known = dict(executors)
    imports_no_projects = kind_of(request.path) in ("unit", "contract", "property")
    modules = set(sys.modules) if imports_no_projects else set()
    yield
    if imports_no_projects:
        executors.clear()
        executors.update(known)
    for names in (declared.tasks, declared.workflows):
        for name, found in list(names.items()):
            if name not in before and ("<locals>" in found.fn.__qualname__ or found.fn.__module__ in modules):
                del names[name]


@pytest.fixture(autouse=True)
def observers_as_they_were() -> Iterator[None]:
    """Forget the observers that a test registers."""
    before = dict(observers._registered)
    yield
    observers._registered = before
    observers._update()


@pytest.fixture(autouse=True)
def middlewares_as_they_were() -> Iterator[None]:
    """Forget the middlewares that a test adds."""
    before = middlewares.known
    yield
    middlewares.set(before)


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


@pytest.fixture(scope="session")
def ready_databases(postgres_server_url: str) -> Iterator[ReadyDatabases]:
    """PostgreSQL databases with Segue's tables."""
    databases = ReadyDatabases(postgres_server_url)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def ready_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A SQLite database with Segue's tables."""
    path = tmp_path_factory.mktemp("ready") / "segue.db"
    store = open_store(f"sqlite:///{path}")
    store.upgrade()
    store.close()
    return path.read_bytes()


@contextmanager
def a_database(dialect: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A database with Segue's tables, for a fixture that lasts longer than a test; that of SQLite is in this folder."""
    if dialect == "sqlite":
        path = folder / "segue.db"
        path.write_bytes(request.getfixturevalue("ready_sqlite_file"))
        yield f"sqlite:///{path}"
    else:
        databases = request.getfixturevalue("ready_databases")
        url = databases.take()
        yield url
        databases.give_back(url)


@pytest.fixture
def make_postgres_url(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    made: list[str] = []

    def make() -> str:
        made.append(request.getfixturevalue("ready_databases").take())
        return made[-1]

    yield make
    for url in made:
        request.getfixturevalue("ready_databases").give_back(url)


@pytest.fixture
def make_sqlite_url(tmp_path: Path, ready_sqlite_file: bytes) -> Callable[[], str]:
    made: list[Path] = []

    def make() -> str:
        made.append(tmp_path / f"segue-{len(made)}.db")
        made[-1].write_bytes(ready_sqlite_file)
        return f"sqlite:///{made[-1]}"

    return make


@pytest.fixture
def make_bare_postgres_url(postgres_server_url: str) -> Iterator[Callable[[], str]]:
    made: list[str] = []

    def make() -> str:
        made.append(postgres.create_database(postgres_server_url))
        return made[-1]

    yield make
    for url in made:
        postgres.drop_database(url)


@pytest.fixture
def make_bare_sqlite_url(tmp_path: Path) -> Callable[[], str]:
    made: list[str] = []

    def make() -> str:
        made.append(f"sqlite:///{tmp_path}/bare-{len(made)}.db")
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


@pytest.fixture(params=["sqlite", "postgres"])
def bare_url(request: pytest.FixtureRequest) -> Callable[[], str]:
    make: Callable[[], str] = request.getfixturevalue(f"make_bare_{request.param}_url")
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


@pytest.fixture(scope="session")
def s3_server_url() -> Iterator[str]:
    """An S3 server that all tests of a process share."""
    from tests.servers import objects

    with objects.serving() as url:
        yield url


@pytest.fixture
def bucket(s3_server_url: str) -> Iterator[Bucket]:
    """An empty bucket, whose server fails as the test says."""
    from tests.servers.objects import Bucket

    found = Bucket(s3_server_url)
    yield found
    found.close()
