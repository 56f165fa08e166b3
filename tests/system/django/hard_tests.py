"""Tests of a Django project that ask much of Segue. They are copied into the project, and its test runner runs them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from orders.models import Order
from orders.tasks import charge, count_orders

import segue as library
from segue import Debounce, Event, task, wait_for, workflow
from segue.client import Run
from segue.contrib.django import segue
from segue.contrib.django.testing import SegueTestMixin
from segue.errors import ConfigError
from segue.observing.observers import observers

HEARD: list[tuple[str, str | None]] = []
INSERT = "INSERT INTO orders_order (amount, status, receipt, run_id) VALUES (%s, 'new', '', '')"


@library.on("run.*")
def hear(event: Event) -> None:
    HEARD.append((event.kind, event.run_id))


@task(transactional=True, name="hard.insert")
def insert(amount: int, connection: Any) -> int:
    connection.cursor().execute(INSERT.replace("%s", str(amount)))
    if amount > 10:
        raise ValueError("too much")
    return amount


@task(name="hard.break_it")
def break_it() -> None:
    Order.objects.create(amount=1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


@task(name="hard.give_up")
def give_up() -> None:
    Order.objects.create(amount=1)
    raise ValueError("this row stays: a task is no transaction")


@workflow(name="hard.approved")
def approved() -> int:
    return count_orders.options(after=[wait_for("ok", timeout=3600)])()


class InTestCase(SegueTestMixin, TestCase):
    def test_transactional_tasks_write_all_or_nothing(self) -> None:
        runs = [segue.start(insert, amount) for amount in (3, 30)]
        self.run_pending()
        self.workbench.check(runs[0], "succeeded", result=3)
        self.workbench.check(runs[1], "failed")
        self.assertEqual(list(Order.objects.values_list("amount", flat=True)), [3])

    def test_an_error_of_the_database_spoils_only_the_attempt(self) -> None:
        broken, given_up, good = segue.start(break_it), segue.start(give_up), segue.start(count_orders)
        self.run_pending()
        self.workbench.check(broken, "failed")
        self.workbench.check(given_up, "failed")
        self.workbench.check(good, "succeeded")
        self.assertGreaterEqual(Order.objects.count(), 1)

    def test_debounce(self) -> None:
        run = segue.start(count_orders, debounce=Debounce(key="x", window=10))
        self.run_pending()
        self.workbench.check(run, "pending")
        self.workbench.advance(minutes=1)
        self.assertEqual(run.result(), 0)

    def test_many(self) -> None:
        orders = [Order.objects.create(amount=amount) for amount in range(5)]
        runs = segue.start_many(charge, [(order.pk,) for order in orders])
        self.run_pending()
        self.assertEqual(len({run.result() for run in runs}), 5)

    def test_a_message_comes_or_not(self) -> None:
        with_one, without = segue.start(approved), segue.start(approved)
        self.run_pending()
        with_one.send("ok")
        self.workbench.advance(hours=2)
        self.workbench.check(with_one, "succeeded")
        self.workbench.check(without, "failed")

    def test_verbs(self) -> None:
        run = segue.start(approved)
        run.pause()
        self.run_pending()
        run.resume()
        run.cancel()
        self.run_pending()
        self.workbench.check(run, "cancelled")
        run.retry()
        self.assertEqual(run.explain()[0].code, "waiting_for_event")

    def test_a_transaction_that_is_broken_already_is_an_error(self) -> None:
        transaction.set_rollback(True)
        with self.assertRaises(transaction.TransactionManagementError):
            self.run_pending()
        transaction.set_rollback(False)

    def test_observers(self) -> None:
        run = segue.start(count_orders)
        self.run_pending()
        self.assertTrue(observers.flush())
        self.assertIn(("run.succeeded", run.id), HEARD)


class OfTheClass(SegueTestMixin, TestCase):
    run_of_class: ClassVar[Run]

    @classmethod
    def setUpTestData(cls) -> None:
        cls.run_of_class = segue.start(count_orders)

    def test_a_run_that_was_started_for_all_tests(self) -> None:
        self.run_pending()
        self.workbench.check(self.run_of_class, "succeeded", result=0)


class WithCommits(SegueTestMixin, TransactionTestCase):
    def test_on_commit(self) -> None:
        with transaction.atomic():
            transaction.on_commit(lambda: segue.start(count_orders))
        self.run_pending()
        self.assertEqual([run.status for run in segue.runs()], ["succeeded"])

    def test_an_error_of_the_database(self) -> None:
        run = segue.start(break_it)
        self.run_pending()
        self.workbench.check(run, "failed")
        self.assertEqual(Order.objects.count(), 1)

    def test_transactional_tasks(self) -> None:
        run = segue.start(insert, 3)
        self.run_pending()
        self.workbench.check(run, "succeeded", result=3)

    def test_observers(self) -> None:
        run = segue.start(count_orders)
        self.run_pending()
        self.assertTrue(observers.flush())
        self.assertIn(("run.succeeded", run.id), HEARD)


class WithoutMixin(TestCase):
    def test_a_run_here_and_now(self) -> None:
        self.assertEqual(segue.run(count_orders), 0)

    def test_what_is_not_committed_cannot_be_waited_for(self) -> None:
        run = segue.start(count_orders)
        with self.assertRaisesMessage(ConfigError, "Wait after the block"):
            segue.get(run.id).wait()

    def test_inside_a_block(self) -> None:
        with transaction.atomic():
            self.assertEqual(segue.run(count_orders), 0)
        self.assertEqual(len(segue.runs()), 1)
