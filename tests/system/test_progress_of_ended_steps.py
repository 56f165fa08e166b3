"""The last progress that an attempt reported is there when its step has ended, in every pool."""

from __future__ import annotations

from typing import Any

import pytest

from segue import Segue, group
from segue.worker.launch import make_worker
from segue.worker.options import WorkerOptions
from tests.system.progress_tasks import TIMES, count, count_async, write


@pytest.mark.parametrize("pool", ["process", "thread", "async", "inline"])
def test_the_last_progress_is_complete(segue: Segue, pool: str) -> None:
    steps = group(*[count.s() for _ in range(4)], count.s(True), count_async.s(), write.s())
    run = segue.start(steps)
    options = WorkerOptions(pool=pool, concurrency=2, burst=True)
    make_worker(segue.engine, options, modules=["tests.system.progress_tasks"]).run()
    assert run.status == "failed"
    said = {step.name: step.progress and (step.progress.done, step.progress.message) for step in run.steps()}
    assert len(said) == 7
    assert set(said.values()) == {(TIMES, f"item {TIMES}")}, said


@pytest.mark.parametrize("work", [count, write])
def test_so_it_is_of_a_run_in_this_process(segue: Segue, work: Any) -> None:
    segue.run(work)
    [listed] = segue.runs()
    [step] = listed.run.steps()
    assert step.progress is not None
    assert step.progress.done == TIMES


def test_a_repeated_step_begins_without_progress(segue: Segue) -> None:
    run = segue.start(count, True)
    options = WorkerOptions(pool="inline", concurrency=1, burst=True)
    make_worker(segue.engine, options).run()
    run.retry()
    [step] = run.steps()
    assert step.progress is None
