"""Tasks and accidents that must cost one attempt at most, and never the process pool or the machine."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.errors import WorkerError
from segue.model import Outcome, Verdict
from segue.worker.pool.process import ProcessPool
from tests.system.pool_driving import TASKS, Driver, job, lives, wait_until_dead


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    pool = ProcessPool(2, modules=[TASKS], kill_grace_seconds=0.3)
    pool.start()
    yield pool
    pool.kill()


@pytest.fixture
def driver(pool: ProcessPool) -> Driver:
    return Driver(pool)


def message_of(outcome: Outcome) -> str:
    assert outcome.verdict == Verdict.FAILED
    assert outcome.error is not None
    assert outcome.error.type == "ProcessDiedError"
    assert outcome.retryable
    return outcome.error.message


def test_a_crash_in_native_code(driver: Driver) -> None:
    outcome = driver.run_one("crash")
    assert "SIGSEGV" in message_of(outcome)
    assert "about to crash" in outcome.output
    assert driver.run_one("add", 1).result == "11"


def test_information_in_the_log_is_kept(driver: Driver) -> None:
    assert "INFO tasks: hello to the quiet log" in driver.run_one("speak", "hello").output


def test_leaving_by_os_exit(driver: Driver) -> None:
    assert "exit code 0 " in message_of(driver.run_one("leave", 0))
    assert "exit code 7 " in message_of(driver.run_one("leave", 7))


def test_being_killed_by_the_kernel(driver: Driver) -> None:
    assert "out-of-memory" in message_of(driver.run_one("kill_self", signal.SIGKILL))


def test_a_death_costs_only_the_job_that_ran(driver: Driver) -> None:
    driver.run_many(job("nothing") for _ in range(500))  # the pool learns to send ahead
    jobs = [job("nothing") for _ in range(60)]
    jobs[5] = job("leave", 1)
    outcomes = {outcome.step: outcome for outcome in driver.run_many(jobs)}
    failed = [step for step, outcome in outcomes.items() if outcome.verdict == Verdict.FAILED]
    assert failed == [jobs[5].step]


def test_a_task_that_ignores_sigterm_is_killed(driver: Driver, tmp_path: Path) -> None:
    outcome = driver.run_one("ignore_sigterm", str(tmp_path / "ready"), timeout=1.0)
    assert (tmp_path / "ready").exists()
    assert outcome.error is not None
    assert outcome.error.type == "TimeoutError"


def test_a_cancelled_task_that_ignores_sigterm_is_killed(driver: Driver, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    long = job("ignore_sigterm", str(ready))
    driver.pool.submit([long])
    driver.until(ready.exists)
    driver.pool.cancel("run", long.step)
    assert driver.outcomes(1)[0].verdict == Verdict.CANCELLED
    assert driver.run_one("add", 1).result == "11"


def test_a_task_may_clean_up_when_it_is_cancelled(driver: Driver, tmp_path: Path) -> None:
    ready, cleaned = tmp_path / "ready", tmp_path / "cleaned"
    long = job("clean_up", str(ready), str(cleaned))
    driver.pool.submit([long])
    driver.until(ready.exists)
    driver.pool.cancel("run", long.step)
    assert driver.outcomes(1)[0].verdict == Verdict.CANCELLED
    assert cleaned.exists()


def test_the_whole_group_of_a_timed_out_task_is_killed(driver: Driver, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    outcome = driver.run_one("wait_for_grandchild", str(pid_file), timeout=1.0)
    assert outcome.verdict == Verdict.FAILED
    wait_until_dead(int(pid_file.read_text()))


def test_grandchildren_do_not_outlive_the_pool(pool: ProcessPool, driver: Driver) -> None:
    result = driver.run_one("leave_grandchild").result
    assert result is not None
    assert lives(int(result))
    assert pool.stop(5) == []
    wait_until_dead(int(result))


def test_a_fork_that_returns_into_the_child_answers_nothing(driver: Driver) -> None:
    assert driver.run_one("fork_and_return").result == '"parent"'
    assert driver.run_many(job("nothing") for _ in range(50))


def test_much_output_is_cut(driver: Driver) -> None:
    outcome = driver.run_one("print_megabytes", 200)
    assert outcome.verdict == Verdict.SUCCEEDED
    assert len(outcome.output) < 20_000
    assert outcome.output.endswith("the end\n")
    assert "bytes cut" in outcome.output


@pytest.mark.parametrize("task", ["close_everything", "break_stdout", "fill_descriptors"])
def test_broken_descriptors(driver: Driver, task: str) -> None:
    outcome = driver.run_one(task)
    assert outcome.verdict in (Verdict.FAILED, Verdict.SUCCEEDED)
    assert "after" in driver.run_one("speak", "after").output


def test_a_child_that_has_grown_is_replaced(pool: ProcessPool) -> None:
    pool.kill()
    pool = ProcessPool(1, modules=[TASKS], max_rss_mb=200)
    pool.start()
    driver = Driver(pool)
    small, large = driver.run_one("my_pid").result, driver.run_one("keep_megabytes", 250).result
    assert small == large
    driver.until(lambda: str(pool.child_pids) != f"[{large}]" and bool(pool.child_pids))
    assert driver.run_one("my_pid").result != large
    pool.kill()


def test_a_child_is_replaced_after_its_share_of_jobs(pool: ProcessPool) -> None:
    pool.kill()
    pool = ProcessPool(1, modules=[TASKS], max_jobs=10)
    pool.start()
    outcomes = Driver(pool).run_many(job("my_pid") for _ in range(45))
    per_child = [outcome.result for outcome in outcomes]
    assert sorted(per_child.count(pid) for pid in set(per_child)) == [5, 10, 10, 10, 10]
    pool.kill()


def test_the_zygote_is_replaced(pool: ProcessPool, driver: Driver, tmp_path: Path) -> None:
    old, children = pool.zygote_pid, pool.child_pids
    begun = tmp_path / "begun"
    long = job("ignore_sigterm", str(begun))
    pool.submit([long])
    driver.until(lambda: begun.exists() and len(pool.child_pids) == 2)
    children = pool.child_pids
    os.kill(old, signal.SIGKILL)
    [outcome] = driver.outcomes(1)
    assert outcome.step == long.step
    assert outcome.verdict == Verdict.LOST
    assert outcome.error is not None
    assert "zygote" in outcome.error.message
    assert driver.run_one("add", 1).result == "11"
    assert pool.zygote_pid != old
    wait_until_dead(*children)


def test_a_child_that_dies_with_the_zygote_but_by_itself_has_failed(
    pool: ProcessPool, driver: Driver, tmp_path: Path
) -> None:
    """What the zygote said before it died counts."""
    zygote = pool.zygote_pid
    begun = [tmp_path / "first", tmp_path / "second"]
    pool.submit([job("ignore_sigterm", str(path)) for path in begun])
    driver.until(lambda: all(path.exists() for path in begun))
    guilty, other = pool.child_pids
    os.kill(guilty, signal.SIGKILL)
    assert select.select([pool._children._zygote], [], [], 30)[0]  # its report is written, and not read
    os.kill(zygote, signal.SIGKILL)
    found = sorted(outcome.verdict for outcome in driver.outcomes(2))
    assert found == [Verdict.FAILED, Verdict.LOST]
    wait_until_dead(other)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_zygote_leaves_signals_to_the_worker(pool: ProcessPool, driver: Driver, signal_number: int) -> None:
    zygote = pool.zygote_pid
    os.kill(zygote, signal_number)
    assert driver.run_one("add", 1).result == "11"
    assert pool.zygote_pid == zygote
    assert lives(zygote)


def test_a_module_that_cannot_be_imported_is_said_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_that_is_broken.py").write_text("raise ValueError('no good')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorkerError, match=re.compile(r"module_that_is_broken.py.*ValueError: no good", re.DOTALL)):
        ProcessPool(1, modules=["module_that_is_broken"]).start()
    with pytest.raises(WorkerError, match="No module named 'module_that_is_not_there'"):
        ProcessPool(1, modules=["module_that_is_not_there"]).start()


WORKER = """
import sys
from segue.worker.pool.process import ProcessPool
from tests.system.pool_driving import TASKS, Driver, job

pool = ProcessPool(2, modules=[TASKS])
pool.start()
driver = Driver(pool)
grandchild = driver.run_one("leave_grandchild").result
driver.until(lambda: len(pool.child_pids) == 2)
pool.submit([job("nap", 60), job("ignore_sigterm", sys.argv[1])])
print(pool.zygote_pid, *pool.child_pids, grandchild, pool._children._folder, flush=True)
pool.collect(60)
"""


def test_kill_9_of_the_worker_leaves_nothing_behind(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(ready)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    *numbers, folder = worker.stdout.readline().split()
    pids = [int(number) for number in numbers]
    assert len(pids) == 4
    assert all(lives(pid) for pid in pids)
    end = time.monotonic() + 20
    while not ready.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    wait_until_dead(*pids)
    assert not Path(folder).exists()
