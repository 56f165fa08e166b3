"""Steps as jobs of a real Grid Engine cluster: sge_qmaster and sge_execd of this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segue import Resources, shell
from segue.dispatcher.dispatcher import FIRST_ID
from segue.dispatcher.protocol import Push, Submission
from segue.engine import pushing
from segue.executors.programs import Answer, Programs
from tests.docs.pages import DOCS, blocks
from tests.executors.grid_engine.conftest import Bench
from tests.servers.grid_engine import GridEngine, running_grid_engine


def error_of(run: object) -> tuple[str, str]:
    step = run.steps()[0]  # type: ignore[attr-defined]
    return step.error.type, step.error.message


def test_results_and_errors_of_jobs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of jobs, because each of them takes a second to begin."""
    monkeypatch.setenv("SEGUE_DATABASE_URL", "postgresql://user:geheim@host/db")
    monkeypatch.setenv("SECRET", "geheim")
    tasks, start = bench.tasks, bench.segue.start
    (bench.folder / "token").write_text("geheim")
    (bench.folder / "token").chmod(0o600)
    runs = {
        "container": start(tasks.measured(f"file:{bench.folder}/token")),
        "secret": start(tasks.measured("vault/token")),
        "double": start(tasks.double.s(4)),
        "where": start(tasks.where.options(resources=Resources(cpu=2, memory="4GiB")).s()),
        "broken": start(tasks.broken.s()), "slow": start(tasks.slow.s()), "shell": start(tasks.commands),
        "queue": start(tasks.double.options(push={"queue": "nowhere.q"}).s(1)),
        "unknown": start(tasks.double.options(push={"colour": "red"}).s(1)),
        "kind": start(tasks.double.options(push={"qsub": ["-l", "gpu=1"]}).s(1)),
    }  # fmt: skip
    bench.finish(*runs.values())
    assert runs["double"].result() == 8
    [attempt] = runs["double"].attempts()
    assert (attempt.status, attempt.output) == ("succeeded", "doubling 4\n")
    found = runs["where"].result()
    assert found["JOB_ID"] is not None
    assert (found["NSLOTS"], found["SEGUE_DATABASE_URL"], found["SECRET"]) == ("2", None, None)
    assert runs["shell"].result() == {"exit_code": 0, "output": "got 8\n1\n"}
    assert runs["container"].result() == {"length": 6, "step": "0"}
    assert "file:/home/me/.token" in error_of(runs["secret"])[1]
    assert error_of(runs["broken"]) == ("ValueError", "of the task")
    assert runs["broken"].steps()[0].attempt == 2
    assert error_of(runs["slow"]) == ("TimeoutError", "timed out after 1 s")
    assert "unknown queue" in error_of(runs["queue"])[1]
    assert "colour" in error_of(runs["unknown"])[1]
    assert "unknown resource" in error_of(runs["kind"])[1]
    written = [*bench.folder.glob("jobs/*/*"), *bench.cluster.folder.rglob("*"), Path(bench.segue.url[10:])]
    assert not [path for path in written if path.is_file() and b"geheim" in path.read_bytes()]


def test_cancels_of_jobs_that_run_and_that_wait(bench: Bench) -> None:
    """The one that runs is warned, and ends itself; the one that waits is gone at once."""
    run = bench.segue.start(bench.tasks.until.s("never"))
    waits = bench.segue.start(bench.tasks.double.options(push={"qsub": ["-l", "arch=none"]}).s(1))
    held = bench.segue.start(bench.tasks.double.options(push={"qsub": ["-h"]}).s(1))
    stuck = bench.segue.start(bench.tasks.double.options(push={"qsub": ["-o", "/nowhere/output"]}).s(1))
    bench.until(lambda: run.steps()[0].status == "running" and bench.began("never") and "hqw" in bench.why(held))
    bench.until(lambda: "Eqw" in bench.why(stuck))  # as on a machine that lacks the folder of the output
    assert "someone must clear it (qmod -cj) or end the job: error: can't open output file" in bench.why(stuck)
    assert f"job {run.steps()[0].handle} of 'sge' on" in bench.why(run)
    assert "someone must release it" in bench.why(held)
    runs = [run, waits, held, stuck]
    for one in runs:
        one.cancel()
    bench.finish(*runs)
    assert {one.status for one in runs} == {"cancelled"}
    assert bench.cluster.jobs() == []


def test_a_submission_whose_reply_is_lost_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    really = Programs.run

    def losing(self: Programs, words: list[str], **more: str) -> Answer:
        answer = really(self, words, **more)
        return Answer(None, "", "qsub did not answer") if words[0] == "qsub" else answer

    names = lambda: {folder.name for folder in bench.folder.glob("jobs/*")}  # noqa: E731
    monkeypatch.setattr(Programs, "run", losing)
    runs = [bench.segue.start(bench.tasks.double.s(number)) for number in range(3)]
    bench.dispatcher.run_once()
    monkeypatch.setattr(Programs, "run", really)
    bench.finish(*runs)
    assert [run.result() for run in runs] == [0, 2, 4]
    assert [run.steps()[0].attempt for run in runs] == [1] * 3
    assert len(names()) == 3


@pytest.mark.proof
def test_of_two_jobs_with_one_name_only_one_runs_the_task(bench: Bench) -> None:
    """As if a submission had arrived after it was searched for in vain; of a task, and of a command."""
    began = f"echo x >> {bench.folder}/sh.began; while [ ! -e {bench.folder}/go ]; do sleep 0.1; done"
    runs = [
        bench.segue.start(bench.tasks.until.options(push={"qsub": ["-h"]}).s("go")),
        bench.segue.start(shell.s(began, executor="sge", push={"qsub": ["-h"]})),
    ]
    bench.until(lambda: all(run.steps()[0].handle for run in runs))
    with bench.segue.engine.reading() as tx:
        rows = pushing.accepted_pushes(tx, bench.segue.engine.stored("sge"), after=FIRST_ID, limit=10)
        work, _ = pushing.jobs_of(tx, rows)
    for row, job, *_ in work:
        bench.executor.submit(Submission(Push(row.id, row.attempt), job, None))
    bench.until(lambda: bench.began("go") and bench.began("sh"))
    first = [str(run.steps()[0].handle) for run in runs]
    bench.cluster.ask("qrls", *first)
    bench.until(lambda: not set(first) & set(bench.cluster.jobs()))
    bench.until(lambda: not set(first) & {str(run.steps()[0].handle) for run in runs})
    bench.let_go("go")
    bench.finish(*runs)
    assert [(bench.folder / f"{name}.began").read_text().strip() for name in ("go", "sh")] == ["x", "x"]
    assert [(run.status, run.steps()[0].attempt, run.steps()[0].error) for run in runs] == [("succeeded", 1, None)] * 2


@pytest.mark.proof
def test_a_dispatcher_that_is_killed_loses_nothing(bench: Bench) -> None:
    """Real processes, killed again and again while jobs are submitted and followed."""
    runs = [bench.segue.start(bench.tasks.double.s(number)) for number in range(6)]
    command = [sys.executable, "-m", "segue", "dispatcher", "-A", "tests.executors.grid_engine.grid_tasks",
               "--database", bench.segue.url, "--json"]  # fmt: skip
    folders = lambda: len(list(bench.folder.glob("jobs/*")))  # noqa: E731
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["executors"] == ["sge"]
        known = folders()
        while folders() < min(known + 2, 6) and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    bench.finish(*runs)
    assert [run.result() for run in runs] == [2 * number for number in range(6)]
    assert {(run.steps()[0].attempt, run.steps()[0].losses) for run in runs} == {(1, 0)}
    assert folders() == 6


@pytest.mark.proof
def test_a_master_that_is_away_changes_nothing(make_bench: Callable[[GridEngine], Bench]) -> None:
    with running_grid_engine() as cluster:
        bench = make_bench(cluster)
        run = bench.segue.start(bench.tasks.until.s("long"))
        bench.until(lambda: run.steps()[0].status == "running" and bench.began("long"))
        cluster.kill("sge_qmaster")
        later = bench.segue.start(bench.tasks.double.s(21))
        bench.until(lambda: bench.dispatcher.blind_since is not None)
        assert (run.steps()[0].status, run.steps()[0].losses, later.status.is_final) == ("running", 0, False)
        cluster.start_master()
        bench.let_go("long")
        bench.finish(run, later)
        assert (run.result(), later.result(), later.steps()[0].failures) == ("long", 42, 0)


@pytest.mark.proof
def test_a_machine_that_dies_with_its_jobs(make_bench: Callable[[GridEngine], Bench]) -> None:
    """Nobody knows how they are, so they run, until someone says that they are gone."""
    with running_grid_engine() as cluster:
        bench = make_bench(cluster)
        run = bench.segue.start(bench.tasks.until.s("node"))
        bench.until(lambda: run.steps()[0].status == "running" and bench.began("node"))
        cluster.kill("sge_execd")
        bench.until(lambda: "u" in cluster.ask("qstat", "-f").split("all.q@")[1].split("\n")[0].split()[-1])
        assert run.steps()[0].status == "running"
        cluster.ask("qdel", "-f", str(run.steps()[0].handle))
        bench.until(lambda: run.steps()[0].losses == 1)
        cluster.start_host()
        bench.let_go("node")
        bench.finish(run)
        assert (run.result(), run.steps()[0].attempt) == ("node", 2)


@pytest.mark.proof
def test_limits_of_the_cluster_end_commands(bench: Bench) -> None:
    """Time and memory are told apart; a job that someone ends is lost, and one that ends itself has failed."""
    grow = (
        f"{sys.executable} -c 'import os, time; [os.fork() for _ in range(3)]; b = bytearray(60 << 20); time.sleep(60)'"
    )
    runs = {
        "time": bench.segue.start(shell.s("sleep 60", executor="sge", timeout=2)),
        "memory": bench.segue.start(shell.s(grow, executor="sge", resources=Resources(memory="100MiB"))),
        "killed": bench.segue.start(shell.s("kill -9 $PPID; sleep 9", executor="sge")),
        "deleted": bench.segue.start(shell.s("sleep 60", executor="sge", lost_retries=0)),
    }
    bench.until(lambda: runs["deleted"].steps()[0].status == "running")
    time.sleep(1.0)
    bench.cluster.ask("qdel", str(runs["deleted"].steps()[0].handle))
    bench.finish(*runs.values())
    found = {name: error_of(run) for name, run in runs.items()}
    assert (found["time"][0], found["memory"][0]) == ("TimeoutError", "OutOfMemoryError"), found
    assert (found["killed"][0], found["deleted"][0]) == ("ShellError", "worker_lost"), found


@pytest.mark.proof
def test_a_worker_as_a_job(bench: Bench) -> None:
    """The script of the page on autoscaling: it takes steps, and ends by itself."""
    [script] = [block.text for block in blocks(DOCS / "autoscaling.md", "text") if block.text.startswith("#!/bin/sh")]
    (bench.folder / ".segue-url").write_text(bench.segue.url)
    script = script.replace("10m", "2s").replace("shop.tasks", "tests.executors.grid_engine.grid_tasks")
    script = (
        script.replace("$HOME", str(bench.folder))
        .replace("segue worker", f"{sys.executable} -m segue worker")
        .replace("-cwd", f"-wd {Path.cwd()}")
    )
    (bench.folder / "worker.sh").write_text(script)
    words = ["qsub", "-terse", "-v", f"TEST_SGE_FOLDER={bench.folder}", "-o",
             str(bench.folder / "worker.out"), str(bench.folder / "worker.sh")]  # fmt: skip
    run = bench.segue.start(bench.tasks.add.s([1, 2]))
    assert bench.cluster.ask(*words).isdigit()
    bench.until(lambda: not bench.cluster.jobs())
    assert run.status == "succeeded", (bench.folder / "worker.out").read_text()
    assert [worker for worker in bench.segue.workers() if worker.pool == "process"] == []


@pytest.mark.proof
def test_jobs_that_ended_while_no_dispatcher_was_there(bench: Bench) -> None:
    run = bench.segue.start(bench.tasks.grown, 3)
    bench.until(lambda: run.steps()[0].handle)
    while bench.cluster.jobs():
        time.sleep(0.1)
    bench.renew()
    process = subprocess.Popen(
        [sys.executable, "-m", "segue", "worker", "-A", "tests.executors.grid_engine.grid_tasks", "--database",
         bench.segue.url, "--pool", "thread"],
    )  # fmt: skip
    try:
        bench.finish(run)
    finally:
        process.terminate()
        process.wait()
    assert run.result() == 6
