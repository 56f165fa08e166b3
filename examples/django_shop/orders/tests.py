"""The project's own tests: `python manage.py test`."""

from django.contrib.auth.models import User
from django.db import transaction
from django.test import TestCase, TransactionTestCase

from orders.models import Order
from orders.tasks import charge
from orders.workflows import fulfil
from segue.contrib.django import segue
from segue.contrib.django.testing import SegueTestMixin


class OrderTests(SegueTestMixin, TestCase):
    """In a transaction that is rolled back."""

    def test_an_order_is_charged_and_shipped(self) -> None:
        """The view starts the run, and the test works it."""
        placed = self.client.post("/orders/", {"amount": 30}).json()
        self.assertEqual(self.client.get(f"/orders/{placed['order']}/").json(), {"status": "new", "run": "pending"})
        self.run_pending()
        order = Order.objects.get()
        self.assertEqual((order.status, order.receipt), ("shipped", f"30 were paid for order {order.pk}"))
        self.workbench.check(segue.get(placed["run"]), "succeeded", result="shipped")

    def test_an_order_that_is_rolled_back_has_no_run(self) -> None:
        """The view raises after it started the run."""
        with self.assertRaisesMessage(ValueError, "too much"):
            self.client.post("/orders/", {"amount": 2000})
        self.assertEqual((Order.objects.count(), segue.runs()), (0, []))

    def test_the_bank_is_away_for_a_minute(self) -> None:
        """A retry, without waiting for it."""
        self.workbench.fail(charge, ConnectionError("away"))
        order = Order.objects.create(amount=5)
        run = segue.start(fulfil, order.pk)
        self.run_pending()
        self.workbench.check(run, "running", steps={"charge": "ready"})
        self.workbench.advance(minutes=2)
        self.workbench.check(run, "succeeded")

    def test_the_admin_shows_the_run_and_changes_nothing(self) -> None:
        """As a person sees it."""
        self.client.force_login(User.objects.create_superuser("ann"))
        run = segue.start(fulfil, Order.objects.create(amount=5).pk)
        self.assertContains(self.client.get("/admin/segue/run/?status__exact=pending"), run.id[-12:])
        self.assertContains(self.client.get(f"/admin/segue/run/?q={run.id[:13]}"), run.id[-12:])
        page = self.client.get(f"/admin/segue/run/{run.id}/change/")
        self.assertContains(page, "<td>charge</td><td>ready</td>")
        self.assertContains(page, "fulfil")
        self.assertEqual(self.client.post(f"/admin/segue/run/{run.id}/change/", {"status": "failed"}).status_code, 403)
        self.assertEqual(self.client.get(f"/admin/segue/run/{run.id}/delete/").status_code, 403)

    def test_the_admin_lists_steps(self) -> None:
        """Those that failed, with their errors; passwords are hidden."""
        self.client.force_login(User.objects.create_superuser("ann"))
        self.workbench.fail(charge, ConnectionError("postgresql://shop:hunter2@bank is away"), times=None)
        run = segue.start(fulfil, Order.objects.create(amount=5).pk)
        self.run_pending()
        self.workbench.advance(hours=1)
        page = self.client.get("/admin/segue/step/?status__exact=failed&q=charge")
        self.assertContains(page, "ConnectionError: postgresql://shop:***@bank is away")
        self.assertContains(page, f'<a href="/admin/segue/run/{run.id}/change/">')
        self.assertNotContains(self.client.get(f"/admin/segue/run/{run.id}/change/"), "hunter2")
        self.assertEqual(self.client.get(f"/admin/segue/step/{run.id}/change/").status_code, 302)
        self.assertEqual(self.client.post("/admin/segue/step/add/").status_code, 403)


class WithoutMixinTests(TestCase):
    """Nothing of Segue in the test: what the code does through `segue` belongs to the test's transaction."""

    def test_starts_are_rolled_back_with_the_test(self) -> None:
        """Both tests of this class see only their own run."""
        segue.start(fulfil, 1)
        self.assertEqual([run.status for run in segue.runs()], ["pending"])

    test_starts_are_rolled_back_with_the_other_test = test_starts_are_rolled_back_with_the_test


class CommittedTests(SegueTestMixin, TransactionTestCase):
    """With real commits: what is left is deleted after each test."""

    def test_a_start_waits_for_the_commit(self) -> None:
        """And a savepoint that is rolled back takes its run along."""
        order = Order.objects.create(amount=5)
        with transaction.atomic():
            kept = segue.start(fulfil, order.pk)
            with self.assertRaises(ZeroDivisionError), transaction.atomic():
                segue.start(fulfil, order.pk)
                raise ZeroDivisionError
        self.assertEqual([run.id for run in segue.runs()], [kept.id])
        self.run_pending()
        self.assertEqual(kept.result(), "shipped")

    def test_nothing_is_left_of_other_tests(self) -> None:
        """The database is as new."""
        self.assertEqual(segue.runs(), [])
