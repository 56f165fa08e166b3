"""A workflow that fails, and an observer in whatever process works on it."""

from __future__ import annotations

import os
from pathlib import Path

import segue
from segue import task, workflow

HEARD = "TEST_HEARD_FILE"


@task
def break_down(reason: str) -> None:
    raise ValueError(reason)


@workflow
def doomed(reason: str) -> None:
    break_down(reason)


def hear(event: segue.Event) -> None:
    """Keep what was told, for the test to read."""
    with Path(os.environ[HEARD]).open("a") as file:
        file.write(f"{event.kind} {event.workflow} {event.name} {event.error and event.error.message}\n")


if HEARD in os.environ:  # not in the process of the tests themselves
    segue.on("run.*", "step.failed")(hear)
