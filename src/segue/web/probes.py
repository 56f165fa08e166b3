"""How to see that what a page shows has changed. Each look is one small statement."""

from __future__ import annotations

from typing import Any

from segue.client import Segue
from segue.web.live import probe


@probe("runs")
def runs(segue: Segue, rest: str) -> Any:
    """The newest runs, and how they are."""
    return [(run.id, run.status, run.steps, run.finished_at) for run in segue.runs(limit=20)]


@probe("run")
def run(segue: Segue, run_id: str) -> Any:
    """The state of a run, the counts of its steps, and what its running steps report."""
    found = segue.get(run_id).progress()
    reports = [(step.step, step.attempt, step.progress and step.progress.updated_at) for step in found.running]
    return found.status, sorted((status.value, count) for status, count in found.counts.items()), reports
