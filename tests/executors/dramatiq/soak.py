"""A soak of the Dramatiq executor: `python -m tests.executors.dramatiq.soak --minutes N [--postgres] [--rabbitmq]`."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import dramatiq

from segue import Segue
from segue.authoring.planning import to_plan
from segue.plan.graph import Plan
from tests.executors.dramatiq.tallied import make_broker, shapes
from tests.executors.soaking.command import main
from tests.executors.soaking.soak import Project
from tests.executors.tallying import Place, TallyingWorker


class DramatiqTallyingWorker(TallyingWorker):
    """One worker with two processes of two threads."""

    def __init__(self, place: Place, number: int, unsteady: str) -> None:
        command = [
            "-m", "dramatiq", "tests.executors.dramatiq.tallied:broker", "--processes", "2", "--threads", "2",
            "--worker-shutdown-timeout", "3000",
        ]  # fmt: skip
        super().__init__(place, number, command, ready="ready for action", unsteady=unsteady)


def project(place: Place) -> Project:
    """Workflows of messages, and workers that end when one of their processes does."""
    segue = Segue(place.database)
    broker = make_broker(place.broker, segue, lease_seconds=place.lease_seconds)
    dramatiq.set_broker(broker)
    return Project(segue, partial(shapes, broker), _plan, DramatiqTallyingWorker, ends_with_children=True)


def _plan(work: Any) -> Plan:
    return work if isinstance(work, Plan) else to_plan(work)


if __name__ == "__main__":
    sys.exit(main("python -m tests.executors.dramatiq.soak", __doc__ or "", "default", project))
