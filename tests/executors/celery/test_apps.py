"""Several apps in one process, each with a database of its own."""

from __future__ import annotations

from pathlib import Path

from celery import Celery, Task, chain
from celery.contrib.testing.worker import start_worker

from segue import Segue
from segue.executors.celery import install

SECONDS = 40


class Add(Task):
    """A task that is written as a class."""

    name = "add"

    def run(self, x: int, y: int) -> int:
        return x + y


def test_a_class_of_tasks_that_a_later_app_took_over_records_in_the_database_of_that_app(
    own_redis: str, tmp_path: Path
) -> None:
    """Celery binds a class to the app that registered it last, as where each test makes an app."""
    projects = []
    for number in range(2):
        app = Celery("apps", broker=f"{own_redis}/{number}", backend=f"{own_redis}/{number}", set_as_current=False)
        segue = Segue(f"sqlite:///{tmp_path}/{number}.db")
        segue.upgrade()
        install(app, segue)
        app.register_task(Add())
        projects.append((app, segue))
    app, segue = projects[-1]
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=SECONDS):
        run = segue.start(chain(app.tasks["add"].s(1, 1), app.tasks["add"].s(1)))
        assert run.wait(timeout=SECONDS).result() == 3
    for app, segue in projects:
        segue.close()
        app.close()
