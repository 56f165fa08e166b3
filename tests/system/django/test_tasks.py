"""Django's own tasks on Segue: enqueued in a transaction, run by workers, their results read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import django
import pytest

from tests.system.django.site import Site

pytestmark = pytest.mark.skipif(django.VERSION < (6, 0), reason="Django has tasks since 6.0")

SETTINGS = """
TASKS = {"default": {"BACKEND": "segue.contrib.django.tasks.SegueBackend", "QUEUES": [],
                     "OPTIONS": {"retries": 1, "retry_delay": 0}}}
"""
TASKS = """
from datetime import date
from django.tasks import task as django_task

@django_task
def greet(name: date, *, loud=False):
    return [name, loud, (1, 2)]

@django_task(takes_context=True, queue_name="mail", priority=50)
async def with_context(context, number):
    return [context.attempt, context.task_result.status, number, await Order.objects.acount()]

@django_task
def fails():
    raise Order.DoesNotExist("no such order")
"""
ENQUEUE = """
import asyncio
from datetime import timedelta
from django.db import transaction
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils import timezone
from orders.tasks import fails, greet, with_context
heard = []
task_enqueued.connect(lambda task_result, **_: heard.append(task_result.status), weak=False)
results = [greet.enqueue("2026-01-01", loud=True), with_context.enqueue(7), fails.enqueue()]
later = greet.using(run_after=timezone.now() + timedelta(days=1)).enqueue("later")
try:
    with transaction.atomic():
        gone = greet.enqueue("gone")
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
assert len(heard) == 5 and len(segue.runs()) == 4, (heard, segue.runs())
for unknown in (gone.id, "nothing", results[0].id[:30]):
    try:
        greet.get_result(unknown)
    except TaskResultDoesNotExist:
        continue
    raise AssertionError(unknown)
print(*(each.id for each in (*results, later)))
"""
LOOK = """
from orders.tasks import fails, greet, with_context
first, second, third, later = {ids!r}.split()
print(greet.get_result(first).return_value, with_context.get_result(second).return_value)
failed = fails.get_result(third)
print(failed.status, failed.attempts, [each.exception_class_path for each in failed.errors], failed.is_finished)
print(greet.get_result(later).status)
"""


def test_tasks_of_django_run_on_workers(tmp_path: Path, bare_url: Callable[[], str]) -> None:
    site = Site(tmp_path, bare_url())
    site.add("shop/settings.py", SETTINGS)
    site.add("orders/tasks.py", TASKS)
    site.manage("migrate")
    ids = site.python(ENQUEUE)
    site.manage("segue", "worker", "-q", "default,mail", "--max-idle", "1s")
    assert site.python(LOOK.format(ids=ids)).splitlines() == [
        "['2026-01-01', True, [1, 2]] [1, 'RUNNING', 7, 0]",
        "FAILED 2 ['orders.models.Order.DoesNotExist', 'orders.models.Order.DoesNotExist'] True",
        "READY",
    ]


def test_options_that_segue_does_not_know_are_named(tmp_path: Path) -> None:
    site = Site(tmp_path, f"sqlite:///{tmp_path}/shop.sqlite3")
    site.add("shop/settings.py", SETTINGS.replace("retries", "retires"))
    said = site.manage("check", code=1)
    assert "segue.E003" in said
    assert "retires" in said
