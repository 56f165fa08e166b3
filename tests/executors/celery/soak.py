"""A soak of the Celery executor: `python -m tests.executors.celery.soak --minutes N [--postgres] [--rabbitmq]`."""

from __future__ import annotations

import sys
from functools import partial

from segue.executors.celery import plan_of
from tests.executors.celery.tallied import make_app, shapes
from tests.executors.celery.tallying import CeleryTallyingWorker
from tests.executors.soaking.command import main
from tests.executors.soaking.soak import Project
from tests.executors.tallying import Place

FENCES = ("suspect", "always")


def project(place: Place) -> Project:
    """Canvases, and workers with two children."""
    app = make_app(
        place.broker, place.backend, place.database, lease_seconds=place.lease_seconds, fence=place.fence
    )  # fmt: skip
    return Project(app.segue, partial(shapes, app), plan_of, _worker)


def _worker(place: Place, number: int, unsteady: str) -> CeleryTallyingWorker:
    return CeleryTallyingWorker(place, number, unsteady=unsteady)


if __name__ == "__main__":
    sys.exit(main("python -m tests.executors.celery.soak", __doc__ or "", "celery", project, FENCES))
