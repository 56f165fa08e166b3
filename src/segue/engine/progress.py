"""Writes the progress that attempts report."""

from __future__ import annotations

from segue.engine.act import Act
from segue.model import Progress


def put_progress(act: Act, progress: Progress) -> None:
    """Write the progress of an attempt. It changes nothing if the step has a newer attempt, or waits for one."""
    act.tx.later(
        "put_progress", run_id=progress.run_id, step=progress.step, attempt=progress.attempt, done=progress.done,
        total=progress.total, message=progress.message, now=act.now,
    )  # fmt: skip
