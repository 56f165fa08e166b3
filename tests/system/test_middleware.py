"""Middleware in every pool: called in the process that runs the task, in its order, also when things fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segue import Segue, add_middleware
from segue.errors import RunFailedError
from segue.worker.pool import Pool
from segue.worker.pool.coroutine import AsyncPool
from segue.worker.pool.inline import InlinePool
from segue.worker.pool.process import ProcessPool
from segue.worker.pool.thread import ThreadPool
from tests.system import middleware_tasks
from tests.system.middleware_tasks import Telling
from tests.system.pool_driving import Driver, job

TASKS = middleware_tasks.__name__
POOLS: dict[str, Callable[[], Pool]] = {
    "process": lambda: ProcessPool(1, modules=["tests.system.middleware_added"]),
    "thread": lambda: ThreadPool(1),
    "async": lambda: AsyncPool(1),
    "inline": lambda: InlinePool(echo=False),
}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(middleware_tasks.TOLD, str(tmp_path / "told"))
    return tmp_path / "told"


@pytest.fixture(params=POOLS)
def driver(request: pytest.FixtureRequest, told: Path) -> Iterator[Driver]:
    if request.param != "process":  # in this process; the zygote imports the module that adds it
        add_middleware(Telling())
    pool = POOLS[request.param]()
    pool.start()
    yield Driver(pool)
    pool.kill()


def words(told: Path) -> list[str]:
    return [line.partition(" ")[2] for line in told.read_text().splitlines()]


def test_hooks_are_called_where_the_task_runs(driver: Driver, told: Path) -> None:
    plain, coroutine = f"{TASKS}.who", f"{TASKS}.who_async"
    first, second = driver.run(job(plain), job(coroutine))
    driver.pool.stop(5.0)
    assert (first.result, second.result) == ('"tenant of run"', '"tenant of run"')
    assert words(told) == [
        "started",
        f"enter {plain}", f"leave {plain}", f"after {plain} succeeded None",
        f"enter {coroutine}", "enter-coroutine True", "leave-coroutine", f"leave {coroutine}",
        f"after {coroutine} succeeded None",
        "stopping",
    ]  # fmt: skip
    assert len({line.partition(" ")[0] for line in told.read_text().splitlines()}) == 1
    assert middleware_tasks.tenant.get() == "nobody"


def test_errors_of_the_block_fail_the_attempt_and_others_are_logged(driver: Driver, told: Path) -> None:
    fails, commits_badly = f"{TASKS}.fails", f"{TASKS}.commits_badly"
    failed, badly = driver.run(job(fails), job(commits_badly))
    assert failed.error is not None
    assert failed.error.type == "KeyError"
    assert badly.error is not None
    assert (badly.verdict, badly.error.message, badly.retryable) == ("failed", "the commit failed", True)
    assert f"leave {fails}" in words(told)
    assert f"after {fails} failed KeyError" in words(told)


def test_a_run_in_this_process_has_the_middleware_too(database_url: str, told: Path) -> None:
    add_middleware(Telling())
    with Segue(database_url) as segue:
        assert segue.run(middleware_tasks.who).startswith("tenant of ")
        with pytest.raises(RunFailedError, match="the commit failed"):
            segue.run(middleware_tasks.commits_badly)
    assert words(told)[0] == "started"
    assert words(told)[-1] == "stopping"
    assert told.read_text().startswith(f"{os.getpid()} ")
