"""What a running attempt prints, read without waiting: the page asks again when a bell rings."""

from __future__ import annotations

from segue.client import Run, Segue
from segue.client.masked_views import without_secrets
from segue.client.views import OutputInfo, StepInfo
from segue.engine.watching import live_output, watch_run
from segue.errors import StoreReadOnlyError
from segue.model import StepStatus


def output_now(segue: Segue, run: Run, step: StepInfo) -> OutputInfo | None:
    """What the attempt that runs now has printed; None if none runs. Its worker writes it while it is watched."""
    if step.status not in (StepStatus.RUNNING, StepStatus.SENT):
        return None
    if step.executor is not None or step.status is StepStatus.SENT:
        return without_secrets(segue.executors.output(run.id, step.step))
    try:
        segue.engine.act(watch_run, run.id)
    except StoreReadOnlyError:
        return OutputInfo(step.attempt, "", False, False, "The database is read-only: its worker cannot be asked.")
    with segue.engine.reading() as tx:
        found = live_output(tx, run.id, step.step)
    if found is None or found.attempt != step.attempt:
        return OutputInfo(step.attempt, "", False, False, "Nothing yet: its worker is asked about once a second.")
    return without_secrets(OutputInfo(step.attempt, found.text, False, False))
