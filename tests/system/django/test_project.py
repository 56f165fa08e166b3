"""What a Django project does with Segue, in its own processes: migrate, check, test, start in a transaction, work."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from segue import Segue, group, task
from tests.servers.postgres import PostgresServer, create_database
from tests.system.django.site import Site

pytestmark = pytest.mark.timeout(300)  # many processes, one after another

PLACE_AND_FAIL = """
from django.db import transaction
from orders.models import Order
from orders.workflows import fulfil
def place(fails):
    with transaction.atomic():
        run = segue.start(fulfil, Order.objects.create(amount=3).pk)
        assert run.status == "pending", run.status
        if fails:
            raise ZeroDivisionError
    return run
try:
    place(True)
except ZeroDivisionError:
    pass
assert (Order.objects.count(), segue.runs()) == (0, [])
run = place(False)
assert [each.id for each in segue.runs()] == [run.id]
seen = []
with transaction.atomic():
    transaction.on_commit(lambda: seen.append(segue.start(fulfil, run.id and Order.objects.get().pk)))
    assert len(segue.runs()) == 1
assert seen[0].status == "pending"
print("done")
"""


@pytest.fixture
def site(tmp_path: Path, bare_url: Callable[[], str]) -> Site:
    return Site(tmp_path, bare_url())


def test_a_project_from_migrate_to_worker(site: Site) -> None:
    assert "segue.W001" not in site.manage("migrate")
    assert "no issues" in site.manage("check", "--database", "default")
    assert site.python(PLACE_AND_FAIL).endswith("done\n")
    command = ["-m", "segue", "worker", "--burst", "-A", "segue.contrib.django.discovered", "--database", site.url]
    site.run([sys.executable, *command])

    assert site.python("print([run.status.value for run in segue.runs()])") == "['succeeded', 'succeeded']\n"
    assert "orders.workflows.fulfil" in site.manage("segue", "runs", "--settings", "shop.settings")
    assert "`python manage.py segue runs` lists them" in site.manage("segue", "show", "abcdef", code=1)


def test_the_tests_of_the_project_pass(site: Site) -> None:
    shutil.copy(Path(__file__).with_name("hard_tests.py"), site.folder / "orders" / "test_hard.py")
    said = site.manage("test", "--noinput", "--parallel", "2")
    assert "Ran 25 tests" in said
    assert "OK" in said


def test_a_first_start_in_a_transaction_makes_the_tables(tmp_path: Path) -> None:
    site = Site(tmp_path, f"sqlite:///{tmp_path}/new.sqlite3")
    site.add("shop/settings.py", "SEGUE['MIGRATE'] = False\n")
    site.manage("migrate")
    assert "segue.W001" in site.manage("check", "--database", "default")
    assert site.python(PLACE_AND_FAIL).endswith("done\n")


def test_checks_name_what_is_wrong(tmp_path: Path) -> None:
    site = Site(tmp_path, f"sqlite:///{tmp_path}/shop.sqlite3")
    (site.folder / "orders" / "steps.py").write_text("\nimport no_such_module\n")
    site.add("shop/settings.py", "SEGUE['TASK_MODULES'] += ['steps']\n")
    said = site.manage("check", code=1)
    assert "(segue.E002) orders.steps cannot be imported: ModuleNotFoundError: No module named 'no_such_module'" in said
    assert "orders/steps.py, line 2" in said
    assert "No module named 'no_such_module'" in site.manage("segue", "worker", "--burst", code=2)
    site.add("shop/settings.py", "SEGUE = {'TASK_MODULE': []}\nDATABASES['default'].update(NAME=':memory:')\n")
    assert "Did you mean 'TASK_MODULES'?" in site.manage("check", code=1)
    site.add("shop/settings.py", "SEGUE = {'QUEUES': 'mail'}\n")
    assert "is not a list of queues" in site.manage("check", code=1)
    site.add("shop/settings.py", "SEGUE = {'QUEUES': ['default', 'mail']}\n")
    site.add("orders/tasks.py", "@task(queue='mial')\ndef welcome() -> None: ...\n")
    said = site.manage("check")
    assert "(segue.W002) orders.tasks.welcome is on the queue 'mial'" in said
    assert "Did you mean 'mail'?" in said
    site.add("shop/settings.py", "SEGUE = {}\n")
    assert "in memory, where other processes" in site.manage("segue", "runs", code=2)


@task(name="orders.tasks.count_orders")
def count_orders() -> int:
    """Stands for the task of the project, which its workers run."""
    raise AssertionError


@task(name="orders.tasks.count_async")
async def count_async() -> int:
    """The same as a coroutine."""
    raise AssertionError


def test_tasks_go_on_after_the_database_was_restarted(tmp_path: Path, own_postgres: PostgresServer) -> None:
    own_postgres.start()
    site = Site(tmp_path, create_database(own_postgres.url))
    site.add("orders/tasks.py", "@task\nasync def count_async() -> int:\n    return await Order.objects.acount()\n")
    site.manage("migrate")
    pools = ("process", "thread", "async")
    with ExitStack() as stack, Segue(site.url) as segue:
        for pool in pools:
            stack.enter_context(site.worker("--pool", pool, "-c", "1", "-q", pool, "--no-chores"))
        for _ in range(3):
            runs = [segue.start(each.options(queue=pool).s()) for pool in pools for each in (count_orders, count_async)]
            assert [run.wait(timeout=60).result() for run in runs] == [0] * 6
            own_postgres.stop()  # the connections of the tasks are open: CONN_MAX_AGE is None
            own_postgres.start()


@task(name="orders.tasks.session")
def session() -> int:
    """Stands for the task of the project."""
    raise AssertionError


def test_children_do_not_share_what_was_open_before_the_fork(
    tmp_path: Path, make_bare_postgres_url: Callable[[], str]
) -> None:  # fmt: skip
    site = Site(tmp_path, make_bare_postgres_url())
    site.manage("migrate")
    site.add(
        "orders/tasks.py",
        """
from django.db import connection
connection.ensure_connection()  # a module that asks the database while it is imported

@task
def session() -> int:
    import time
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), pg_sleep(0.3)")
        return cursor.fetchone()[0]
""",
    )
    # imported last, so that its connection is still open when children are forked
    (site.folder / "late.py").write_text("from django.db import connection\nconnection.ensure_connection()\n")
    with site.worker("-c", "2", "-A", "segue.contrib.django.discovered", "-A", "late"), Segue(site.url) as segue:
        run = segue.start(group(*(session.s() for _ in range(4))))
        assert len(set(run.wait(timeout=60).result())) == 2
