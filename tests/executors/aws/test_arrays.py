"""Attempts of one shape as elements of an array job of AWS Batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from segue import Run, container, group, shell, workflow
from segue.dispatcher.protocol import id_of_name
from tests.executors.aws.conftest import Bench


@workflow
def heap(count: int, seconds: float = 0) -> Any:
    return group(shell.s("echo {n} $SEGUE_STEP; sleep {s}; [ {n} != 3 ]", n=n, s=seconds, env={"N": str(n)},
                         executor="batch", name=f"n{n}", check=n != 5) for n in range(count))()  # fmt: skip


def arrays(bench: Bench, run: Run) -> set[str]:
    """The array jobs in which steps of a run are."""
    return {step.handle.partition(":")[0] for step in run.steps() if step.handle and ":" in step.handle}


def test_steps_of_one_shape_are_elements_of_an_array(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    before = bench.aws.calls().get("submitjob", 0)
    run = bench.segue.start(heap, 12)
    alone = bench.segue.start(container("busybox", ["echo", "of words"], executor="batch"))
    bench.finish(run, alone)
    assert bench.aws.calls()["submitjob"] == before + 2
    assert (len(arrays(bench, run)), arrays(bench, alone)) == (1, set())
    steps = {step.name: step for step in run.steps()}
    assert [steps[f"n{n}"].status for n in range(12)] == ["failed" if n == 3 else "succeeded" for n in range(12)]
    assert len({step.handle for step in run.steps() if step.handle}) == 12
    assert sorted(str(attempt.output) for attempt in run.attempts()) == sorted(f"{n} {n}\n" for n in range(12))
    assert (alone.status, alone.result()["output"]) == ("succeeded", "of words\n")


def test_an_array_whose_reply_is_lost_is_found_and_elements_can_be_ended(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    before = bench.aws.calls().get("submitjob", 0)
    runs = [bench.segue.start(shell("sleep 60", executor="batch")) for _ in range(6)]
    bench.aws.fault("submitjob", what="cut")
    bench.dispatcher.run_once()
    bench = make_bench()  # another process, which finds them
    bench.until(lambda: all(bench.is_running(run) for run in runs))
    assert bench.aws.calls()["submitjob"] == before + 1
    runs[2].cancel()
    bench.finish(runs[2])
    assert [run.status for run in runs] == ["running"] * 2 + ["cancelled"] + ["running"] * 3
    assert list(bench.executor.strays()) == []
    for run in runs:
        run.cancel()
    bench.finish(*runs)
    assert {run.steps()[0].attempt for run in runs} == {1}


@pytest.mark.proof
def test_an_array_that_is_too_long_goes_in_parts(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    before = bench.aws.calls().get("submitjob", 0)
    runs = [bench.segue.start(shell("echo {text}", text=f"{n}" * 500, executor="batch")) for n in range(60)]
    bench.finish(*runs)
    assert all(run.result()["output"] == f"{n}" * 500 + "\n" for n, run in enumerate(runs))
    assert 2 <= bench.aws.calls()["submitjob"] - before <= 8


@pytest.mark.proof
def test_an_array_that_is_one_too_many_is_ended(make_bench: Callable[..., Bench]) -> None:
    """It arrives after it was searched for in vain."""
    bench = make_bench()
    runs = [bench.segue.start(shell("sleep 60", executor="batch")) for _ in range(4)]
    bench.until(lambda: all(bench.is_running(run) for run in runs))
    [array_id] = {run.steps()[0].handle.partition(":")[0] for run in runs}
    batch = bench.aws.client("batch")
    [first] = batch.describe_jobs(jobs=[array_id])["jobs"]
    assert id_of_name(first["jobName"]) is not None
    late = batch.submit_job(
        jobName=first["jobName"], jobQueue="jobs", jobDefinition=first["jobDefinition"], arrayProperties={"size": 4},
        containerOverrides={"command": ["sleep", "60"], "environment": first["container"]["environment"],
                            "resourceRequirements": [{"type": "MEMORY", "value": "512"}]},
    )["jobId"]  # fmt: skip
    assert len(list(bench.executor.strays())) == 4
    bench.renew()
    bench.until(lambda: batch.describe_jobs(jobs=[late])["jobs"][0]["status"] == "FAILED")
    assert all(bench.is_running(run) for run in runs)
    for run in runs:
        run.cancel()
    bench.finish(*runs)


@pytest.mark.proof
def test_hundreds_of_steps(make_bench: Callable[..., Bench]) -> None:
    """They end within the pace of the test machine, with few calls."""
    bench = make_bench()
    before = bench.aws.calls()
    run = bench.segue.start(heap, 250, 0.1)
    began = time.monotonic()
    bench.finish(run)
    after = bench.aws.calls()
    assert after["submitjob"] - before.get("submitjob", 0) <= 6
    assert sum(step.status == "succeeded" for step in run.steps()) >= 249
    assert time.monotonic() - began < 60
