"""How often a step was tried: a task that goes on after a sleep is not tried again."""

from __future__ import annotations

import io
from datetime import timedelta

from rich.console import Console

from segue import checkpoint, current, sleep, task
from segue.cli.rendering import details, tree
from segue.client import Run
from segue.client.step_tree import grow
from segue.testing import Workbench


@task
def nap() -> str:
    for day in range(3):
        checkpoint(f"day {day}", str, day)
        sleep(timedelta(days=1))
    return "awake"


@task(retries=2, retry_delay=60)
def unsteady(failures: int) -> int:
    if current().failures < failures:
        raise OSError("not yet")
    return current().attempt


def picture(bench: Workbench, run: Run) -> tuple[str, str]:
    """The tree of the run, and the details of its first step."""
    out = io.StringIO()
    console = Console(file=out, width=120)
    console.print(tree(grow(run.steps()), bench.now))
    shown = out.getvalue()
    console.print(details(run.step(0).info(), bench.now))
    return shown, out.getvalue()


def test_a_sleep_inside_a_task_is_no_try(bench: Workbench) -> None:
    run = bench.segue.start(nap)
    assert run.step(0).info().tries == 0
    bench.advance(days=1, hours=1)
    seen = run.step(0).info()
    assert (seen.attempt, seen.tries, seen.is_suspended) == (2, 1, True)
    bench.advance(days=2)
    seen = run.step(0).info()
    assert (seen.attempt, seen.tries, seen.status) == (4, 1, "succeeded")
    shown, told = picture(bench, run)
    assert "try" not in shown
    assert "attempt   4, 1 try; 0 retries allowed" in told


def test_failures_are_tries(bench: Workbench) -> None:
    run = bench.segue.start(unsteady, 2)
    bench.work()
    assert run.step(0).info().tries == 1  # it waits for the next one
    bench.finish(run)
    assert run.step(0).info().tries == 3
    shown, told = picture(bench, run)
    assert "try 3" in shown
    assert "attempt    3, 2 failures; 2 retries allowed" in told


def test_a_retry_by_a_person_begins_to_count_anew(bench: Workbench) -> None:
    run = bench.segue.start(unsteady, 9)
    bench.advance(minutes=5)
    assert run.step(0).info().tries == 3
    run.retry()
    bench.work()
    seen = run.step(0).info()
    assert (seen.attempt, seen.tries, seen.failures) == (4, 1, 1)
