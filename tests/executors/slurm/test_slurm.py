"""Steps as jobs of a real Slurm cluster: munged, slurmctld and slurmd of this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segue.authoring import task as make_task
from segue.dispatcher.protocol import Push, Submission, UnsureError
from segue.executors.programs import Answer, Programs
from segue.model import Job
from segue.testing import POLLED_CASES, PolledCase, check_polled
from tests.executors.slurm.conftest import Bench
from tests.servers.slurm import SlurmCluster, running_slurm


def error_of(run: object) -> tuple[str, str]:
    step = run.steps()[0]  # type: ignore[attr-defined]
    return step.error.type, step.error.message


def test_results_and_errors_of_jobs(bench: Bench) -> None:
    """One batch of jobs, because each of them takes a second to begin."""
    tasks, start = bench.tasks, bench.segue.start
    runs = {
        "double": start(tasks.double.s(4)), "where": start(tasks.where.s()), "broken": start(tasks.broken.s()),
        "hopeless": start(tasks.hopeless.s()), "killed": start(tasks.killed.s()), "slow": start(tasks.slow.s()),
        "greedy": start(tasks.greedy.s()), "shell": start(tasks.commands),
        "refused": start(tasks.double.options(push={"partition": "nowhere"}).s(1)),
        "unknown": start(tasks.double.options(push={"colour": "red"}).s(1)),
        "vast": start(tasks.double.options(resources=tasks.Resources(memory="900GiB")).s(1)),
    }  # fmt: skip
    bench.finish(*runs.values())
    assert runs["double"].result() == 8
    [attempt] = runs["double"].attempts()
    assert (attempt.status, attempt.output) == ("succeeded", "doubling 4\n")
    assert runs["where"].result()["SLURM_JOB_ID"] is not None
    assert runs["shell"].result() == {"exit_code": 0, "output": "got 8\n"}
    assert error_of(runs["broken"]) == ("ValueError", "of the task")
    assert (runs["broken"].steps()[0].attempt, runs["hopeless"].steps()[0].attempt) == (2, 1)
    assert error_of(runs["killed"])[0] == "ProcessDiedError"
    assert error_of(runs["slow"]) == ("TimeoutError", "timed out after 1 s")
    assert error_of(runs["refused"])[0] == "PushRefusedError"
    assert "invalid partition" in error_of(runs["refused"])[1]
    assert "colour" in error_of(runs["unknown"])[1]
    assert error_of(runs["vast"])[0] == "PushRefusedError"
    assert error_of(runs["greedy"])[0] == ("OutOfMemoryError" if bench.cluster.has_oom_kills else "ProcessDiedError")


def test_no_variable_goes_along_that_was_not_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_DATABASE_URL", "postgresql://user:geheim@host/db")
    monkeypatch.setenv("SECRET", "geheim")
    run = bench.segue.start(bench.tasks.where.s())
    bench.finish(run)
    assert (run.result()["SEGUE_DATABASE_URL"], run.result()["SECRET"]) == (None, None)
    written = [path.read_text() for path in bench.folder.glob("jobs/*/*")]
    assert len(written) >= 3
    assert not [text for text in written if "geheim" in text]


def test_own_and_pushed_steps_in_one_plan(bench: Bench) -> None:
    mixed, grown = bench.segue.start(bench.tasks.mixed, 3), bench.segue.start(bench.tasks.grown, 3)
    process = subprocess.Popen(
        [sys.executable, "-m", "segue", "worker", "-A", "tests.executors.slurm.cluster_tasks", "--database",
         bench.segue.url, "--pool", "thread"],
    )  # fmt: skip
    try:
        bench.finish(mixed, grown)
    finally:
        process.terminate()
        process.wait()
    assert (mixed.result(), grown.result()) == (6, 6)


def test_a_cancel_ends_the_job(bench: Bench) -> None:
    run = bench.segue.start(bench.tasks.until.s("never"))
    bench.until(lambda: run.steps()[0].status == "running" and bench.began("never"))
    [job] = [step.handle for step in run.steps()]
    assert f"job {job} of 'hpc' on" in " ".join(reason.text for reason in run.explain())
    run.cancel()
    bench.finish(run)
    assert run.status == "cancelled"
    assert bench.cluster.ask("squeue", "-h", "-t", "PD,R,CG", "-j", str(job)) == ""


def test_a_job_that_is_ended_by_hand_is_lost_and_tried_again(bench: Bench) -> None:
    run = bench.segue.start(bench.tasks.until.s("twice"))
    bench.until(lambda: bench.began("twice"))
    bench.cluster.ask("scancel", str(run.steps()[0].handle or bench.jobs()[-1]))
    bench.until(lambda: (bench.folder / "twice.began").read_text() == "xx")
    bench.let_go("twice")
    bench.finish(run)
    assert (run.result(), run.steps()[0].losses, run.steps()[0].attempt) == ("twice", 1, 2)


def test_a_submission_whose_reply_is_lost_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    really = Programs.run

    def losing(self: Programs, words: list[str], **more: Any) -> Answer:
        answer = really(self, words, **more)
        return Answer(None, "", "sbatch did not answer") if words[0] == "sbatch" else answer

    before = len(bench.jobs())
    monkeypatch.setattr(Programs, "run", losing)
    runs = [bench.segue.start(bench.tasks.double.s(number)) for number in range(5)]
    bench.dispatcher.run_once()
    monkeypatch.setattr(Programs, "run", really)
    bench.finish(*runs)
    assert [run.result() for run in runs] == [0, 2, 4, 6, 8]
    assert [run.steps()[0].attempt for run in runs] == [1] * 5
    assert len(bench.jobs()) == before + 5


def test_of_two_jobs_with_one_name_only_one_runs_the_task(bench: Bench) -> None:
    """As if a submission had arrived after it was searched for in vain."""
    run = bench.segue.start(bench.tasks.until.s("once"))
    bench.until(lambda: run.steps()[0].handle)
    [folder] = bench.folder.glob("jobs/*")
    script = f"#!/bin/sh\nexec {sys.executable} -m segue run-step {folder}\n"
    words = ["sbatch", "--parsable", f"--job-name={folder.name}", f"--output={folder}/output"]
    second = bench.executor._cluster._programs.run(words, given=script)
    both = ",".join([str(run.steps()[0].handle), second.out.strip()])
    bench.until(
        lambda: bench.cluster.ask("squeue", "-h", "-t", "FAILED", "-j", both, "-o", "%T") and bench.began("once")
    )
    bench.let_go("once")
    bench.finish(run)
    assert (run.result(), (bench.folder / "once.began").read_text()) == ("once", "x")
    assert run.steps()[0].attempt == 1


def test_a_dispatcher_that_is_killed_loses_nothing(bench: Bench, tmp_path: Path) -> None:
    """Real processes, killed again and again while jobs are submitted and followed."""
    runs = [bench.segue.start(bench.tasks.double.s(number)) for number in range(8)]
    command = [sys.executable, "-m", "segue", "dispatcher", "-A", "tests.executors.slurm.cluster_tasks", "--database",
               bench.segue.url, "--json"]  # fmt: skip
    before = len(bench.jobs())
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["executors"] == ["hpc"]
        known = len(bench.jobs())
        while len(bench.jobs()) < min(known + 2, before + 8) and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    bench.finish(*runs)
    assert [run.result() for run in runs] == [2 * number for number in range(8)]
    assert {(run.steps()[0].attempt, run.steps()[0].losses) for run in runs} == {(1, 0)}
    assert len(bench.jobs()) == before + 8


@pytest.mark.proof
def test_a_controller_that_is_away_changes_nothing(make_bench: Callable[[SlurmCluster], Bench]) -> None:
    """It is killed with jobs outside. It may forget those submitted last, so they may be tried again."""
    with running_slurm() as cluster:
        bench = make_bench(cluster)
        run = bench.segue.start(bench.tasks.until.s("long"))
        bench.until(lambda: run.steps()[0].status == "running" and bench.began("long"))
        cluster.ask("scontrol", "reconfigure")  # it saves its state
        cluster.kill("slurmctld")
        later = bench.segue.start(bench.tasks.double.s(21))
        bench.until(lambda: bench.dispatcher.blind_since is not None)
        assert (run.steps()[0].status, run.steps()[0].losses, later.status.is_final) == ("running", 0, False)
        cluster.start_controller()
        bench.let_go("long")
        bench.finish(run, later)
        assert (run.result(), later.result(), later.steps()[0].failures) == ("long", 42, 0)


@pytest.mark.proof
@pytest.mark.parametrize("case", POLLED_CASES)
def test_the_contract_of_executors_that_are_polled(bench: Bench, case: PolledCase) -> None:
    check_polled(bench.segue, bench.executor, case, image=None)


@pytest.mark.proof
def test_a_machine_that_fails_loses_its_jobs(make_bench: Callable[[SlurmCluster], Bench]) -> None:
    """Its processes may go on. The second attempt counts, and what the first one leaves is ignored."""
    with running_slurm() as cluster:
        bench = make_bench(cluster)
        run = bench.segue.start(bench.tasks.until.s("node"))
        bench.until(lambda: run.steps()[0].status == "running" and bench.began("node"))
        cluster.kill("slurmd")
        cluster.ask("scontrol", "update", f"NodeName={cluster.node}", "State=DOWN", "Reason=test")
        bench.until(lambda: run.steps()[0].losses == 1)
        cluster.start_node()
        cluster.ask("scontrol", "update", f"NodeName={cluster.node}", "State=RESUME")
        bench.let_go("node")
        bench.finish(run)
        assert (run.result(), run.steps()[0].attempt) == ("node", 2)


@pytest.mark.proof
def test_jobs_that_the_controller_forgot_have_left_their_outcomes(
    make_bench: Callable[[SlurmCluster], Bench],
) -> None:
    """It forgets ended jobs after MinJobAge. No dispatcher was there meanwhile, and no accounts are kept."""
    with running_slurm(min_job_age=2) as cluster:
        bench = make_bench(cluster)
        run = bench.segue.start(bench.tasks.double.s(4))
        bench.until(lambda: run.steps()[0].handle)
        while bench.jobs():
            pass
        bench.renew()
        bench.finish(run)
        assert (run.result(), run.steps()[0].losses) == (8, 0)


def test_a_controller_that_does_not_answer_leaves_a_submission_open(bench: Bench) -> None:
    executor = bench.tasks.Slurm(
        "away", folder=str(bench.folder / "jobs"), slurm_conf=str(bench.folder / "none.conf"), command_seconds=1.0
    )  # fmt: skip
    (bench.folder / "none.conf").write_text(Path(bench.cluster.conf).read_text().replace("SlurmctldPort=", "#") + "\n")
    job = Job("r", 0, 1, "n", make_task.__name__, "[[],{}]", None, {}, None)
    push = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", ("r", 0, 1))
    with pytest.raises(UnsureError):
        executor.submit(Submission(push, job, None))
