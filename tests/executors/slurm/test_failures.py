"""What else can go wrong with a real cluster; `make push-matrix` runs these."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import pytest

from segue.dispatcher.dispatcher import Dispatcher
from segue.engine import pushing
from segue.engine.engine import Engine
from tests.crash.faults import COMMITTED, Died, FaultyStore, die
from tests.executors.slurm.conftest import Bench
from tests.servers.slurm import SlurmCluster, running_slurm

pytestmark = pytest.mark.proof

EVERY_COMMIT_UP_TO = 12
THEN_EVERY = 7


@pytest.mark.timeout(1800)
def test_a_dispatcher_dies_after_any_commit(bench: Bench) -> None:
    """Arrays of three commands, each of which says that it runs: none does so twice."""
    for number in count(1):
        if number > EVERY_COMMIT_UP_TO and number % THEN_EVERY:
            continue
        before, left = len(bench.jobs()), [number]

        def strike(tx: object, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                die(tx)

        run = bench.segue.start(bench.tasks.echoes, 3)
        mortal = Engine(FaultyStore(bench.segue.engine.store, strike, COMMITTED))
        bench.dispatcher = Dispatcher(mortal, bench.executor)
        with suppress(Died):
            bench.finish(run)
        bench.renew()
        bench.finish(run)
        assert run.status == "succeeded"
        assert {(step.attempt, step.losses) for step in run.steps() if step.handle} == {(1, 0)}
        assert len(bench.jobs()) == before + 3
        if left[0] > 0:
            break


def test_two_dispatchers_submit_each_step_once(bench: Bench) -> None:
    before = len(bench.jobs())
    runs = [bench.segue.start(bench.tasks.echoes, 2) for _ in range(10)]
    is_over = threading.Event()
    others = [
        threading.Thread(target=Dispatcher(bench.segue.engine, bench.executor).run, args=(is_over,)) for _ in range(2)
    ]  # fmt: skip
    for thread in others:
        thread.start()
    try:
        bench.finish(*runs)
    finally:
        is_over.set()
        for thread in others:
            thread.join()
    assert {run.status for run in runs} == {"succeeded"}
    lost = [str(attempt.error) for run in runs for attempt in run.attempts() if attempt.status == "lost"]
    assert len(bench.jobs()) == before + 20 + len(lost)  # a busy machine may lose some


def test_a_held_job_is_explained(bench: Bench) -> None:
    run = bench.segue.start(bench.tasks.double.options(push={"sbatch": ["--hold"]}).s(3))
    bench.until(lambda: "an operator must release or end it" in " ".join(str(reason) for reason in run.explain()))
    bench.cluster.ask("scontrol", "release", str(run.steps()[0].handle))
    bench.finish(run)
    assert run.result() == 6


def test_slurm_ends_a_command_whose_time_is_over(bench: Bench) -> None:
    run = bench.segue.start(bench.tasks.endless)
    bench.until(lambda: run.status.is_final, seconds=240)
    error = run.steps()[0].error
    assert error is not None
    assert (error.type, "TIMEOUT" in error.message) == ("TimeoutError", True)


def test_an_id_that_was_given_again_is_neither_followed_nor_ended(bench: Bench) -> None:
    """The row has the id of somebody else's job, as after a controller that has forgotten the one of the push."""
    foreign = bench.cluster.ask("sbatch", "--parsable", "--job-name=other", "--output=/dev/null", "--wrap=sleep 300")
    run = bench.segue.start(bench.tasks.until.s("again"))
    bench.until(lambda: run.steps()[0].handle)
    with bench.segue.engine.reading() as tx:
        found = pushing.push_of(tx, (run.id, 0, 1))
    assert found is not None
    bench.segue.engine.act(pushing.follow, found[0], foreign)
    bench.cluster.ask("scancel", str(found[0].external_id))
    bench.until(lambda: run.steps()[0].losses == 1)
    run.cancel()
    bench.finish(run)
    assert bench.cluster.ask("squeue", "-h", "-j", foreign, "-o", "%T") == "RUNNING"
    bench.cluster.ask("scancel", foreign)


def test_jobs_outlive_the_daemon_of_their_machine(make_bench: Callable[[SlurmCluster], Bench]) -> None:
    with running_slurm() as cluster:
        bench = make_bench(cluster)
        run = bench.segue.start(bench.tasks.until.s("long"))
        bench.until(lambda: bench.began("long"))
        cluster.kill("slurmd")
        time.sleep(2.0)
        bench.let_go("long")
        cluster.start_node()
        bench.finish(run)
        assert (run.result(), run.steps()[0].losses) == ("long", 0)


def test_a_cluster_without_arrays_runs_jobs_alone(make_bench: Callable[[SlurmCluster], Bench]) -> None:
    with running_slurm(more="MaxArraySize=0") as cluster:
        bench = make_bench(cluster)
        assert bench.executor.batch_limit() == 0
        run = bench.segue.start(bench.tasks.echoes, 3)
        bench.finish(run)
        assert run.status == "succeeded"
        assert not [step for step in run.steps() if "_" in str(step.handle)]


def test_a_cluster_whose_arrays_became_smaller(make_bench: Callable[[SlurmCluster], Bench]) -> None:
    """It was asked before it was configured again."""
    with running_slurm(more="MaxArraySize=3") as cluster:
        bench = make_bench(cluster)
        bench.executor._cluster._array_size = 1000
        run = bench.segue.start(bench.tasks.echoes, 7)
        bench.finish(run)
        assert run.status == "succeeded"
        assert len(bench.jobs()) == 7
