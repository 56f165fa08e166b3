"""Celery workers of the tallied project."""

from __future__ import annotations

from tests.executors.tallying import Place, TallyingWorker


class CeleryTallyingWorker(TallyingWorker):
    """One worker with two children."""

    def __init__(self, place: Place, number: int, *, unsteady: str = "", **more: str) -> None:
        command = [
            "-m", "celery", "-A", "tests.executors.celery.tallied", "worker", "-c", "2", "-l", "INFO",
            "-n", f"node-{number}@%h", "--without-gossip", "--without-mingle",
        ]  # fmt: skip
        super().__init__(place, number, command, ready=" ready.", unsteady=unsteady, **more)
