"""What a task leaves behind in its child is put back, or costs that child: the next attempt finds what it expects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segue.model import Job, Verdict
from segue.worker.pool import wire
from segue.worker.pool.process import ProcessPool
from segue.worker.pool.thread import ThreadPool
from tests.system import misbehaving_tasks
from tests.system.misbehaving_tasks import CHANGES, GARBAGE
from tests.system.pool_driving import Driver, job

RUDE = misbehaving_tasks.__name__


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPool]:
    """One child, so that each attempt follows the one before it."""
    pool = ProcessPool(1, modules=[RUDE], kill_grace_seconds=2.0)
    pool.start()
    yield pool
    pool.kill()


@pytest.fixture
def driver(pool: ProcessPool) -> Driver:
    return Driver(pool)


def rude(name: str, *args: Any, timeout: float | None = None) -> Job:
    return job(f"{RUDE}.{name}", *args, timeout=timeout)


def found(driver: Driver) -> dict[str, Any]:
    [outcome] = driver.run(rude("report"))
    assert outcome.result is not None, outcome.error
    assert outcome.output == "said\n"
    seen: dict[str, Any] = json.loads(outcome.result)
    return seen


@pytest.mark.parametrize("what", CHANGES)
def test_the_next_attempt_finds_what_the_first_one_found(driver: Driver, what: str, tmp_path: Path) -> None:
    before = found(driver)
    [outcome] = driver.run(rude("change", what))
    assert outcome.verdict == Verdict.SUCCEEDED, outcome.error
    after = found(driver)
    assert after == before | {"pid": after["pid"]}
    assert after["has_sigterm"]
    if what in ("handlers", "handler", "asyncio handler", "mask", "wakeup"):
        mark = tmp_path / "mark"
        [slow] = driver.run(rude("nap_and_mark", str(mark), timeout=0.2))
        assert slow.verdict == Verdict.FAILED
        assert mark.exists()


def test_timers_of_one_attempt_do_not_go_off_in_the_next(driver: Driver) -> None:
    for what in ("alarm", "faulthandler"):
        driver.run(rude("change", what))
    [outcome] = driver.run(rude("nap", 0.4))
    assert outcome.verdict == Verdict.SUCCEEDED
    assert found(driver)["timer"] == [0.0, 0.0]


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_in_the_pipe_of_answers_costs_the_attempt_and_the_child(driver: Driver, kind: str) -> None:
    pid = found(driver)["pid"]
    [outcome] = driver.run(rude("write_garbage", kind))
    assert outcome.verdict == Verdict.FAILED
    assert outcome.retryable
    assert outcome.error is not None
    assert outcome.error.type == "ProcessDiedError"
    assert "wrote into the pipe" in outcome.error.message
    assert found(driver)["pid"] != pid


def test_garbage_behind_an_answer_costs_no_attempt(pool: ProcessPool, driver: Driver) -> None:
    pid = found(driver)["pid"]
    [outcome] = driver.run(rude("garbage_from_a_thread"))
    assert outcome.verdict == Verdict.SUCCEEDED
    driver.until(lambda: pool.child_pids not in ([], [pid]))
    assert found(driver)["pid"] != pid


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_a_child_that_became_another_user_is_replaced(pool: ProcessPool, driver: Driver) -> None:
    pid = found(driver)["pid"]
    [outcome] = driver.run(rude("become_nobody"))
    assert outcome.verdict == Verdict.SUCCEEDED
    driver.until(lambda: pool.child_pids not in ([], [pid]))
    assert found(driver)["pid"] != pid


def test_a_pool_whose_folder_was_cleaned_away_works_on(pool: ProcessPool, driver: Driver) -> None:
    folder = pool._children._folder
    long = "x" * (wire.LARGEST_MESSAGE_BYTES + 1)
    for _ in range(2):
        shutil.rmtree(folder)
        [outcome] = driver.run(rude("change", long))
        assert outcome.verdict == Verdict.SUCCEEDED
        driver.run(rude("write_garbage", "short"))  # the next child needs a file for its output
        assert found(driver)


def test_a_folder_that_cannot_be_made_again_costs_the_attempts_that_need_it(pool: ProcessPool, driver: Driver) -> None:
    folder = Path(pool._children._folder)
    shutil.rmtree(folder)
    folder.touch()  # as good as a full disk: nothing can be made in it
    try:
        [outcome] = driver.run(rude("change", "x" * (wire.LARGEST_MESSAGE_BYTES + 1)))
        assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, True)
        assert outcome.error is not None
        assert outcome.error.type == "ArgumentsLostError"
        assert "TMPDIR" in outcome.error.message
        driver.run(rude("write_garbage", "short"))
        assert found(driver)  # a child was born, and its output is kept
    finally:
        folder.unlink()


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_what_a_task_forks_can_be_terminated(driver: Driver, kind: str) -> None:
    if kind == "process":
        [outcome] = driver.run(rude("terminate_a_child_of_its_own"))
        assert outcome.result == "-15"
        return
    done = subprocess.run(
        [sys.executable, "-c", TERMINATE_IN_A_WORKER], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["-15", "0"]


# The handlers of a worker, in whose own process a task forks.
TERMINATE_IN_A_WORKER = """
import threading
from segue.worker.launch import stopping_on_signals
from tests.system.misbehaving_tasks import terminate_a_child_of_its_own

class Worker:
    asked = 0
    def stop(self):
        self.asked += 1

worker = Worker()
codes = []
with stopping_on_signals(worker):
    thread = threading.Thread(target=lambda: codes.append(terminate_a_child_of_its_own.fn()))
    thread.start()
    thread.join()
print(codes[0], worker.asked)
"""


def test_a_fork_that_comes_back_out_of_a_task_ends_in_a_thread_pool_too() -> None:
    pool = ThreadPool(1)
    pool.start()
    driver = Driver(pool)
    for what in ("fork", "fork and exit", "fork and raise"):
        assert driver.run(rude("change", what))[0].verdict == Verdict.SUCCEEDED
        _, status = os.waitpid(-1, 0)
        assert os.waitstatus_to_exitcode(status) == {"fork": 0, "fork and exit": 3, "fork and raise": 1}[what]
    pool.kill()
