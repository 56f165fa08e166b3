"""Python tasks in containers of AWS: they take their arguments from the database, and report into it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segue import group, workflow
from tests.executors.aws import far_tasks
from tests.executors.aws.conftest import Bench


@workflow
def doubling(count: int) -> Any:
    return group(far_tasks.double.s(number) for number in range(count))()


@pytest.fixture
def bench(make_bench: Callable[..., Bench], sqlite_url: str) -> Bench:
    aws = make_bench().aws
    secret = aws.client("secretsmanager").create_secret(
        Name=f"url-{Path(sqlite_url).parent.name}", SecretString=sqlite_url
    )
    return make_bench(
        database_secret=secret["ARN"], modules=["tests.executors.aws.far_tasks"], python=sys.executable, memory="8GiB"
    )


def test_tasks_take_their_arguments_and_report_by_themselves(bench: Bench) -> None:
    run = bench.segue.start(doubling, 2)
    bench.finish(run)
    assert run.result() == [0, 2]
    assert {":" in str(step.handle) for step in run.steps() if step.handle} == {True}  # elements of an array


@pytest.mark.proof
def test_how_tasks_fail(bench: Bench) -> None:
    broken, killed, where = (
        bench.segue.start(one.s()) for one in (far_tasks.broken, far_tasks.killed, far_tasks.where)
    )
    bench.finish(broken, killed, where)
    errors = [run.steps()[0].error for run in (broken, killed)]
    assert [error.type for error in errors if error is not None] == ["ValueError", "ProcessDiedError"]
    assert broken.steps()[0].attempt == 2
    assert "SEGUE_DATABASE_URL" in where.result()


@pytest.mark.proof
def test_the_url_of_the_database_is_written_nowhere(bench: Bench, sqlite_url: str) -> None:
    run = bench.segue.start(far_tasks.double.s(21))
    bench.finish(run)
    assert run.result() == 42
    batch = bench.aws.client("batch")
    said = json.dumps(batch.describe_jobs(jobs=[run.steps()[0].handle])["jobs"])
    said += json.dumps(batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"])
    assert sqlite_url not in said
    assert sqlite_url.encode() not in Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()


@pytest.mark.proof
def test_a_cancel_reaches_the_task(bench: Bench) -> None:
    run = bench.segue.start(far_tasks.long.s())
    bench.until(lambda: bench.is_running(run))
    run.cancel()
    bench.finish(run)
    assert run.status == "cancelled"
