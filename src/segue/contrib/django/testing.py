"""Runs in the tests of a Django project: worked in the test's own thread and on its own connection.

In a `TestCase` everything happens in the transaction that Django rolls back, so no run outlives its test. It works with
databases in memory, too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from asgiref.sync import async_to_sync

from segue.authoring import declared
from segue.clock import ManualClock, SystemClock
from segue.contrib.django.addresses import connection_of
from segue.contrib.django.discovery import discover_tasks
from segue.contrib.django.project import DjangoSegue, current
from segue.testing.workbench import Workbench


class DjangoWorkbench(Workbench):
    """A `segue.testing.Workbench` on Django's test database. While it is open, `segue` of the project is its `segue`.

    Example::

        with DjangoWorkbench() as workbench:
            client.post("/orders/", {"amount": 30})   # the view starts a run
            workbench.work()
    """

    segue: DjangoSegue

    def __init__(self, *, start: datetime | None = None) -> None:
        discover_tasks()
        super().__init__("", start=start or SystemClock().now())  # rows that were made before it are of the past
        self._keep_coroutines_here()
        self._replacing = current.replaced(self.segue)
        self._replacing.__enter__()

    def open(self, url: str, clock: ManualClock, **settings: Any) -> DjangoSegue:
        """The project's database, whatever the URL."""
        return DjangoSegue(clock=clock)

    def work(self) -> None:
        """Run everything that is due. Raises Django's error if the test has broken its transaction before."""
        connection_of(self.segue.project.database).validate_no_broken_transaction()
        with self.segue.engine.reading():  # a worker would try again, without end
            pass
        super().work()

    def restore(self) -> None:
        """Let all tasks be as before the test replaced them."""
        super().restore()
        self._keep_coroutines_here()

    def _keep_coroutines_here(self) -> None:
        """Let the queries of `async def` tasks run in this thread, which has the test's connection."""
        for task in declared.tasks.values():
            if task.is_async:
                self._replace(task, _in_this_thread(task.fn))

    def close(self) -> None:
        """Let `segue` and all tasks be as before. Without a transaction to roll back, delete the runs."""
        super().restore()
        self.segue.close()
        self._replacing.__exit__(None, None, None)
        if not connection_of(self.segue.project.database).in_atomic_block:
            delete_everything(self.segue.project.database)


def _in_this_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return async_to_sync(function)(*args, **kwargs)

    return call


class SegueTestMixin:
    """For `TestCase` and `TransactionTestCase` of Django: `self.workbench`, fresh for each test.

    Example::

        class OrderTests(SegueTestMixin, TestCase):
            def test_an_order_is_shipped(self):
                self.client.post("/orders/", {"amount": 30})
                self.run_pending()
                self.assertEqual(Order.objects.get().status, "shipped")
    """

    workbench: DjangoWorkbench

    def setUp(self) -> None:
        """Open the workbench before the test's own `setUp` goes on."""
        self.workbench = DjangoWorkbench()
        self.addCleanup(self.workbench.close)  # type: ignore[attr-defined]
        super().setUp()  # type: ignore[misc]

    def run_pending(self) -> None:
        """Run everything that is due now, and what follows from it."""
        self.workbench.work()


def delete_everything(alias: str) -> None:
    """Delete all rows of Segue. Django's `flush` leaves them, because they are of no model that it manages."""
    connection = connection_of(alias)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith("segue_") and table != "segue_schema":
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")  # noqa: S608 - a name of ours
