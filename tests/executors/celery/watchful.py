"""A pool that looks after its children often. Celery's own notices the death of one within five seconds."""

from __future__ import annotations

from celery.concurrency.asynpool import AsynPool

LOOK_SECONDS = 0.1


def watch_children() -> None:
    """Let the prefork pool of this worker look after its children ten times a second."""
    AsynPool.timers = property(lambda self: {self.maintain_pool: LOOK_SECONDS})
