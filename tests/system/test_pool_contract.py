"""What every pool must do, whatever its attempts run in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from segue.loop.self_pipe import Wakeup
from segue.model import Job, Outcome, Verdict
from segue.plan import codec
from segue.worker.pool import Pool
from segue.worker.pool.coroutine import AsyncPool
from segue.worker.pool.inline import InlinePool
from segue.worker.pool.process import ProcessPool
from segue.worker.pool.thread import ThreadPool
from tests.system import pool_tasks
from tests.system.pool_driving import TASKS, Driver, job

POOLS: dict[str, Callable[[], Pool]] = {
    "process": lambda: ProcessPool(2, modules=[TASKS], kill_grace_seconds=1.0),
    "thread": lambda: ThreadPool(2),
    "async": lambda: AsyncPool(8, sync_threads=2),
    "inline": lambda: InlinePool(echo=False),
}
CONCURRENT = ("process", "thread", "async")
assert pool_tasks  # its tasks are registered for the pools that run in this process


@pytest.fixture(params=POOLS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    pool = POOLS[request.param]()
    pool.start()
    yield Driver(pool)
    pool.kill()


concurrent = pytest.mark.parametrize("driver", CONCURRENT, indirect=True)


def test_success(driver: Driver) -> None:
    outcome = driver.run_one("add", 1, second=2)
    assert (outcome.verdict, outcome.result, outcome.error) == (Verdict.SUCCEEDED, "3", None)
    assert outcome.seconds > 0
    assert driver.pool.in_flight == []


def test_arguments_are_typed_and_holes_filled(driver: Driver) -> None:
    filled = Job("run", 1, 1, "n", f"{TASKS}.add", "[[null],{}]", '[[[0,0],["ref",7,["n"]]]]', {7: '{"n":5}'}, None)
    typed, with_hole = driver.run(job("add_one_day", "2026-11-20T00:00:00Z", step=0), filled)
    assert typed.result == "739941"
    assert with_hole.result == "15"


def test_failure_says_what_and_where(driver: Driver) -> None:
    outcome = driver.run_one("fail", "broken")
    assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, True)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "broken")
    assert "pool_tasks.py" in outcome.error.traceback
    assert "runner.py" not in outcome.error.traceback


def test_retry_skip_and_abort(driver: Driver) -> None:
    retry, skip, abort = driver.run(job("ask_for_retry", 7), job("skip"), job("abort"))
    assert (retry.verdict, retry.retryable, retry.retry_after) == (Verdict.FAILED, True, 7)
    assert skip.verdict == Verdict.SKIPPED
    assert (abort.verdict, abort.retryable) == (Verdict.FAILED, False)


@pytest.mark.parametrize("kind, retryable", [("os", True), ("permission", False), ("value", False)])
def test_retry_on_and_give_up_on(driver: Driver, kind: str, retryable: bool) -> None:
    assert driver.run_one("choosy", kind).retryable is retryable


def test_a_plan_expands(driver: Driver) -> None:
    outcome = driver.run_one("become_chain")
    assert outcome.verdict == Verdict.EXPANDED
    assert outcome.result is not None
    assert [node.task for node in codec.decode(outcome.result).nodes] == [f"{TASKS}.echo"] * 2


def test_async_def(driver: Driver) -> None:
    assert driver.run_one("echo_async", "ä").result == '"ä"'


def test_output_is_kept_per_attempt(driver: Driver) -> None:
    first, second, silent = driver.run(job("speak", "one"), job("speak", "two"), job("nothing"))
    for outcome, text in ((first, "one"), (second, "two")):
        for where in ("stdout", "stderr", "the log"):
            assert f"{text} to {where}\n" in outcome.output
    assert "two" not in first.output
    assert silent.output == ""


def test_progress_is_throttled_and_the_last_one_comes(driver: Driver) -> None:
    outcome = driver.run_one("say_progress", 1000)
    assert outcome.result == '"done"'
    assert len(driver.progress) < 100
    assert (driver.progress[0].done, driver.progress[0].total) == (1, 1000)
    assert driver.progress[-1].done == 1000
    assert driver.progress[-1].step == outcome.step


def test_whatever_is_raised_is_one_failure(driver: Driver) -> None:
    kinds = ["exit", "base"] if isinstance(driver.pool, InlinePool) else ["exit", "interrupt", "base"]
    outcomes = driver.run(*(job("raise_base", kind) for kind in kinds), job("raise_unspeakable"), job("give_object"))
    assert {outcome.verdict for outcome in outcomes} == {Verdict.FAILED}
    assert driver.run_one("add", 1).result == "11"


@pytest.mark.parametrize("how", ["ours", "asyncio", "futures"])
def test_a_cancellation_that_nobody_asked_for_is_a_failure(driver: Driver, how: str) -> None:
    outcome = driver.run_one("be_cancelled", how)
    assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, True)
    assert outcome.error is not None
    assert outcome.error.type.endswith("Cancelled" if how == "ours" else "CancelledError")


@pytest.mark.parametrize("how", ["ours", "part", "itself", "all", "timeout", "group"])
def test_nor_is_one_of_a_coroutine(driver: Driver, how: str) -> None:
    outcome = driver.run_one("be_cancelled_async", how)
    assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, True)
    assert outcome.error is not None
    wanted = {"ours": "segue.authoring.context.Cancelled", "timeout": "TimeoutError", "group": "BaseExceptionGroup"}
    assert outcome.error.type == wanted.get(how, "asyncio.exceptions.CancelledError")
    assert driver.run_one("add", 1).result == "11"


def test_a_coroutine_that_completed_has_succeeded_in_the_async_pool() -> None:
    """A loop of its own, in the other pools, raises the cancellation once the coroutine has returned."""
    pool = AsyncPool(2)
    pool.start()
    outcome = Driver(pool).run_one("be_cancelled_async", "too late")
    pool.kill()
    assert outcome.verdict == Verdict.SUCCEEDED


@pytest.mark.parametrize("how", ["stop", "exit", "interrupt", "factory", "handler"])
def test_the_loop_of_the_async_pool_goes_on_whatever_tasks_do_to_it(how: str) -> None:
    pool = AsyncPool(4)
    pool.start()
    driver = Driver(pool)
    beside = job("nap_async", 0.1)
    outcomes = driver.run(job("disturb_loop", how), beside)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.SUCCEEDED] * 2
    assert driver.run_one("echo_async", "on").result == '"on"'
    pool.kill()


def test_a_function_that_waits_for_a_thread_is_not_begun_once_it_is_cancelled() -> None:
    pool = AsyncPool(8, sync_threads=1)
    pool.start()
    driver = Driver(pool)
    running, waiting = job("nap", 0.3), [job("my_pid") for _ in range(4)]
    pool.submit([running, *waiting])
    for each in waiting:
        pool.cancel("run", each.step)
    outcomes = driver.outcomes(5)
    assert [outcome.verdict for outcome in outcomes[:4]] == [Verdict.CANCELLED] * 4
    assert all(outcome.output == "" and outcome.seconds == 0 for outcome in outcomes[:4])
    assert (outcomes[4].step, outcomes[4].verdict) == (running.step, Verdict.SUCCEEDED)
    pool.kill()


def test_an_unknown_task_may_be_tried_elsewhere(driver: Driver) -> None:
    outcome = driver.run_one("nowhere.at_all")
    assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, True)
    assert outcome.error is not None
    assert outcome.error.type == "UnknownTaskError"


def test_wrong_arguments_fail_the_attempt(driver: Driver) -> None:
    outcome = driver.run_one("add", "seven")
    assert outcome.verdict == Verdict.FAILED
    assert outcome.error is not None
    assert "first" in outcome.error.message


def test_large_arguments_and_results(driver: Driver) -> None:
    large, given = driver.run(job("echo", "y" * 3_000_000), job("give", 5_000_000))
    assert large.result == '"' + "y" * 3_000_000 + '"'
    assert given.result is not None
    assert len(given.result) == 5_000_002


def test_a_result_beyond_the_limit_fails_for_good(driver: Driver) -> None:
    outcome = driver.run_one("give", 17 * 2**20)
    assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, False)
    assert outcome.error is not None
    assert outcome.error.type == "ResultTooLargeError"


def test_many_jobs_keep_their_identity(driver: Driver) -> None:
    outcomes = driver.run_many(job("echo", number, step=number) for number in range(3000))
    assert {outcome.step: outcome.result for outcome in outcomes} == {n: str(n) for n in range(3000)}
    assert driver.pool.in_flight == []
    assert driver.pool.capacity > 0


def test_a_wake_up_ends_the_wait(driver: Driver) -> None:
    waker = threading.Timer(0.05, driver.pool.wake)
    waker.start()
    began = time.monotonic()
    assert driver.pool.collect(20) == []
    assert time.monotonic() - began < 10
    waker.join()


def test_an_extra_descriptor_ends_the_wait(driver: Driver) -> None:
    bell = Wakeup()
    bell.ring()
    assert driver.pool.collect(20, [bell.fileno()]) == []
    bell.close()


def test_what_has_not_begun_is_recalled_or_cancelled(driver: Driver) -> None:
    size = driver.pool.capacity
    running = [job("nap", 0.3) for _ in range(size)] if size < 8 else []
    waiting = [job("nap", 0.0) for _ in range(2)]
    if isinstance(driver.pool, AsyncPool):
        running = [job("nap_async", 0.3) for _ in range(size)]
    driver.pool.submit([*running, *waiting])
    assert len(driver.pool.in_flight) == len(running) + 2
    driver.pool.cancel("run", waiting[0].step)
    driver.pool.recall()
    verdicts = {outcome.step: outcome.verdict for outcome in driver.outcomes(len(running) + 2)}
    assert verdicts[waiting[0].step] == Verdict.CANCELLED
    assert verdicts[waiting[1].step] == Verdict.RELEASED


@concurrent
@pytest.mark.parametrize("task", ["nap", "nap_async"])
def test_a_timeout_costs_one_attempt(driver: Driver, task: str) -> None:
    outcome = driver.run_one(task, 20, timeout=0.2)
    assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, True)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("TimeoutError", "timed out after 0.2 s")
    assert driver.run_one("add", 1).result == "11"


@pytest.mark.parametrize(
    "driver, task",
    [
        ("process", "nap_with_progress"),
        ("process", "nap_async"),
        ("thread", "nap_with_progress"),  # a thread that never reports cannot be ended
        ("async", "nap_with_progress"),
        ("async", "nap_async"),
    ],
    indirect=["driver"],
)
def test_a_running_attempt_is_cancelled(driver: Driver, task: str) -> None:
    long = job(task, 20)
    driver.pool.submit([long])
    if task == "nap_with_progress":
        driver.pool.collect(10)  # its first report: it runs
    driver.pool.cancel("run", long.step)
    [outcome] = driver.outcomes(1)
    assert (outcome.step, outcome.verdict) == (long.step, Verdict.CANCELLED)
    assert driver.run_one("add", 1).result == "11"


@pytest.mark.parametrize("driver", ["process", "thread"], indirect=True)
@pytest.mark.parametrize(
    "task, verdict", [("finish_anyway", Verdict.SUCCEEDED), ("fail_when_asked", Verdict.CANCELLED)]
)
def test_what_is_completed_while_it_is_cancelled_counts_and_a_failure_does_not(
    driver: Driver, task: str, verdict: Verdict
) -> None:
    long = job(task, 20)
    driver.pool.submit([long])
    driver.pool.collect(10)  # its first report: it runs
    driver.pool.cancel("run", long.step)
    [outcome] = driver.outcomes(1)
    assert (outcome.step, outcome.verdict) == (long.step, verdict)
    assert outcome.result == ('"enough"' if verdict is Verdict.SUCCEEDED else None)
    assert driver.run_one("add", 1).result == "11"


@concurrent
def test_nothing_waits_behind_a_long_task(driver: Driver) -> None:
    driver.run_many(job("nothing") for _ in range(500))  # the pool learns that tasks are short
    short = [job("nothing") for _ in range(40)]
    outcomes = driver.run_many([*short[:20], job("nap", 0.5), *short[20:]])
    assert outcomes[-1].result == '"rested"'


@concurrent
def test_a_warm_stop_waits_and_hands_back(driver: Driver) -> None:
    short, long = job("nap", 0.2), job("nap", 20)
    driver.pool.submit([short, long])
    driver.pool.collect(0.1)
    verdicts = {outcome.step: outcome.verdict for outcome in driver.pool.stop(grace_seconds=1.0)}
    assert verdicts == {short.step: Verdict.SUCCEEDED, long.step: Verdict.RELEASED}
    assert driver.pool.capacity == 0


def test_a_stop_loses_no_outcome(driver: Driver) -> None:
    jobs = [job("nothing") for _ in range(10)]
    driver.pool.submit(jobs)
    outcomes: list[Outcome] = driver.pool.stop(grace_seconds=10)
    assert {outcome.step for outcome in outcomes} == {item.step for item in jobs}
