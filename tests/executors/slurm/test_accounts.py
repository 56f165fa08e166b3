"""Slurm with slurmdbd and MariaDB: limits of accounts, and what sacct knows of jobs that squeue has forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from segue import Run
from tests.executors.slurm.conftest import Bench
from tests.servers.slurm import SlurmCluster, SlurmMissingError, find_accounts, running_slurm

pytestmark = pytest.mark.proof


@pytest.fixture(scope="module")
def accounted() -> Iterator[SlurmCluster]:
    try:
        find_accounts()
    except SlurmMissingError as error:
        pytest.skip(str(error))
    with running_slurm(accounts=True, min_job_age=5) as cluster:
        yield cluster


@pytest.fixture
def books(accounted: SlurmCluster, make_bench: Callable[[SlurmCluster], Bench]) -> Bench:
    return make_bench(accounted)


def forget_all(bench: Bench) -> None:
    """Wait until squeue knows no job any more."""
    end = time.monotonic() + 120
    while bench.jobs():
        assert time.monotonic() < end
        time.sleep(0.5)


def error_of(run: Run) -> str:
    error = run.steps()[0].error
    assert error is not None
    return error.type


def test_a_limit_of_submissions_is_waited_for(books: Bench) -> None:
    """Twelve jobs of one shape where four may be there: first a part of the array, then the rest."""
    books.cluster.manage("modify", "user", "root", "set", "MaxSubmitJobs=4")
    try:
        runs = [books.segue.start(books.tasks.double.s(number)) for number in range(12)]
        books.until(lambda: any(run.steps()[0].handle for run in runs))
        busy = [run for run in runs if not run.steps()[0].handle]
        assert len(busy) >= 8
        told = " ".join(str(reason) for reason in busy[-1].explain())
        assert "MaxSubmitJobLimit" in told
    finally:
        books.cluster.manage("modify", "user", "root", "set", "MaxSubmitJobs=-1")
    books.finish(*runs)
    assert [run.result() for run in runs] == [2 * number for number in range(12)]
    assert {run.steps()[0].attempt for run in runs} == {1}


def test_how_jobs_ended_that_only_sacct_knows(books: Bench) -> None:
    """No dispatcher was there when they ended, they left no outcome, and squeue has forgotten them."""
    tasks = books.tasks
    runs = {
        "greedy": books.segue.start(tasks.greedy_command), "killed": books.segue.start(tasks.killed_command),
        "ended": books.segue.start(tasks.until.options(lost_retries=0).s("never")),
        "whole": books.segue.start(tasks.double.options(push={"sbatch": ["--hold"]}, lost_retries=0).s(1)),
        "array": books.segue.start(tasks.held_commands, 3),
    }  # fmt: skip
    books.until(lambda: all(step.handle for run in runs.values() for step in run.steps() if step.status == "sent"))
    books.until(lambda: books.began("never"))
    for name in ("ended", "whole"):
        books.cluster.ask("scancel", str(runs[name].steps()[0].handle))
    books.cluster.ask("scancel", str(runs["array"].steps()[0].handle).partition("_")[0])
    forget_all(books)
    books.renew()
    books.finish(*runs.values())
    found = {name: error_of(run) for name, run in runs.items()}
    expected = {"ended": "worker_lost", "whole": "worker_lost", "array": "worker_lost", "killed": "ShellError"}
    if books.cluster.has_oom_kills:
        expected["greedy"] = "OutOfMemoryError"
    assert {name: found[name] for name in expected} == expected


def test_a_dispatcher_reads_results_of_jobs_that_are_forgotten(books: Bench) -> None:
    run = books.segue.start(books.tasks.uneven, 4)
    books.until(lambda: all(step.handle for step in run.steps() if step.name != "result"))
    forget_all(books)
    books.renew()
    books.finish(run)
    assert sorted(str(step.status) for step in run.steps()).count("failed") >= 1
    assert sum(step.losses for step in run.steps()) == 0


def test_a_job_of_an_account_that_is_unknown_is_refused(books: Bench) -> None:
    run = books.segue.start(books.tasks.double.options(push={"account": "nobody"}).s(1))
    books.finish(run)
    assert error_of(run) == "PushRefusedError"
