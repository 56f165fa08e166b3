"""How to see that what a page shows has changed. Each look is one small statement."""

from __future__ import annotations

from typing import Any

from segue.client import Run, Segue
from segue.client.views import StepInfo
from segue.errors import SegueError, StepNotFoundError
from segue.web.live import probe
from segue.web.live_output import output_now
from segue.web.pages.now import look, signature


@probe("runs")
def runs(segue: Segue, rest: str) -> Any:
    """The newest runs, and how they are."""
    return [(run.id, run.status, run.steps, run.finished_at) for run in segue.runs(limit=20)]


@probe("now")
def now(segue: Segue, rest: str) -> Any:
    """What the first page shows."""
    return signature(look(segue, segue.engine.store.now()))


@probe("run")
def run(segue: Segue, run_id: str) -> Any:
    """The state of a run, the counts of its steps, and what its running steps report."""
    found = segue.get(run_id).progress()
    reports = [(step.step, step.attempt, step.progress and step.progress.updated_at) for step in found.running]
    return found.status, sorted((status.value, count) for status, count in found.counts.items()), reports


@probe("step")
def step(segue: Segue, rest: str) -> Any:
    """The state of a step, and what it reports."""
    found = _step(segue, rest)[1]
    return found.status, found.gate, found.attempt, found.worker_id, found.progress and found.progress.updated_at


@probe("output")
def output(segue: Segue, rest: str) -> Any:
    """The state of a step, and what it prints."""
    run, found = _step(segue, rest)
    try:
        printed = output_now(segue, run, found)
    except SegueError:  # a platform does not answer: the page says so
        printed = None
    return found.status, found.attempt, printed and printed.text


def _step(segue: Segue, rest: str) -> tuple[Run[Any], StepInfo]:
    run_id, _, number = rest.rpartition(":")
    if not (number.isascii() and number.isdigit()):
        raise StepNotFoundError(f"{number[:50]} is no number of a step.")
    run = segue.get(run_id)
    return run, run.step(int(number)).info()
