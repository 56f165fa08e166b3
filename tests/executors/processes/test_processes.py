"""Steps in processes of this machine, which report into the database by themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segue import Run, chain, shell
from segue.attempt import spool
from segue.engine import pushing
from segue.engine.pushed_reports import beat_push, begin_push, report_push
from segue.engine.pushing import PushRow
from segue.model import Outcome, Verdict
from segue.testing import POLLED_CASES, PolledCase, check_polled
from segue.worker.inline import work_run
from tests.contract.stage import connect
from tests.executors.processes.conftest import TASKS, Bench


def error_of(run: Run) -> tuple[str, str]:
    error = run.steps()[0].error
    assert error is not None
    return error.type, error.message


def push_of(bench: Bench, run: Run) -> tuple[PushRow, str]:
    step = run.steps()[0]
    with bench.segue.engine.reading() as tx:
        found = pushing.push_of(tx, (run.id, step.step, step.attempt))
    assert found is not None
    return found


def run_step(bench: Bench, push_id: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "segue", "run-step", "--push", push_id, "-A", TASKS, *words]
    environment = {**os.environ, "SEGUE_DATABASE_URL": bench.segue.url}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_tasks_and_commands(bench_on_each: Bench) -> None:
    bench = bench_on_each
    with connect(bench.segue.url) as connection:
        connection.execute("CREATE TABLE near_rows (id integer)")
        connection.commit()
    tasks, start = bench.tasks, bench.segue.start
    runs = {
        "double": start(tasks.double.s(4)), "who": start(tasks.who.s()), "broken": start(tasks.broken.s()),
        "slow": start(tasks.slow.s()), "spread": start(tasks.spread.s(2)), "commands": start(tasks.commands, "a 'b"),
        "write": start(tasks.write.s(number=7)), "not": start(tasks.write.s(number=-7)),
    }  # fmt: skip
    outcomes = start(tasks.halve.map([4, 3], errors=True))
    bench.finish(*runs.values())
    bench.until(lambda: all(step.status.is_final for step in outcomes.steps() if step.executor))
    work_run(bench.segue.engine, outcomes.id)  # the step that collects them is Segue's own
    assert runs["double"].result() == 8
    assert getattr(runs["double"].steps()[0].progress, "done", 0) == 4
    [attempt] = runs["double"].attempts()
    assert (attempt.status, attempt.output) == ("succeeded", "doubling 4\n")
    assert attempt.worker.startswith("near@")
    told = runs["who"].result()
    assert (told["SEGUE_RUN"], told["SEGUE_ATTEMPT"]) == (runs["who"].id, "1")
    assert told["SEGUE_PUSH"] == push_of(bench, runs["who"])[0].id
    assert error_of(runs["broken"]) == ("ValueError", "of the task")
    assert runs["broken"].steps()[0].attempt == 2
    assert error_of(runs["slow"]) == ("TimeoutError", "timed out after 0.5 s")
    assert runs["spread"].result() == [0, 2]
    assert [each["value"] for each in outcomes.result()] == [2, None]
    assert outcomes.result()[1]["error"] == {"type": "ValueError", "message": "3 is odd"}
    assert runs["commands"].result() == {
        "found": ["a 'b", "geheim", "fast"], "written": {"exit_code": 0, "output": "5\n"},
    }  # fmt: skip
    assert (runs["write"].result(), error_of(runs["not"])) == (7, ("ValueError", "not this one"))
    with connect(bench.segue.url) as connection:
        assert connection.execute("SELECT id FROM near_rows").fetchall() == [(7,)]
    written = [path.read_text() for path in (bench.folder / "jobs").glob("*/script")]
    assert not [text for text in written if "geheim" in text or bench.segue.url in text]


def test_a_task_that_sleeps_and_waits_comes_again_as_another_job(bench_on_each: Bench) -> None:
    bench = bench_on_each
    run = bench.segue.start(bench.tasks.in_parts.s())
    bench.until(bench.segue.approvals.list)
    assert run.send("third", "word").step is not None
    bench.finish(run)
    first, second, word, third = run.result()
    assert word == "word"
    assert len({first, second, third}) == len(bench.jobs()) == 3
    assert run.attempts() == []


def test_progress_and_a_cancel(bench: Bench) -> None:
    run = bench.segue.start(bench.tasks.until.s("never"))
    bench.until(lambda: bench.has("never.began"))
    push, _ = push_of(bench, run)
    assert (run.steps()[0].status, push.is_alive(bench.segue.engine.store.now())) == ("running", True)
    run.cancel()
    bench.finish(run)
    assert run.status == "cancelled"
    assert push_of(bench, run)[1] == "closed"


@pytest.mark.parametrize("kind", ["command", "task"])
def test_what_is_printed_is_followed(bench: Bench, kind: str) -> None:
    go = bench.folder / "go"
    waits = f"echo first; while [ ! -e {go} ]; do sleep 0.02; done; echo second"
    what = shell.s(waits, executor="near", name="tell") if kind == "command" else bench.tasks.tell.s(str(go))
    run = bench.segue.start(chain(what))
    words = ["logs", run.id, "tell", "-A", TASKS, "--database", bench.segue.url]
    bench.until(lambda: run.steps()[0].handle and "first" in cli(*words))
    following = subprocess.Popen(
        [sys.executable, "-m", "segue", *words, "--follow", "--every", "0.2"], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert following.stdout is not None
    assert following.stdout.readline() == "first\n"
    go.touch()
    bench.finish(run)
    assert (following.communicate()[0], following.returncode) == ("second\n", 0)
    [row] = json.loads(cli("executors", "--json", "--database", bench.segue.url))
    assert (row["name"], row["kind"], row["blind_since"]) == ("near", "Processes", None)
    assert "answers" in cli("executors", "--database", bench.segue.url)
    assert cli(*words[:3], "--database", bench.segue.url) == "first\nsecond\n"


def cli(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "segue", *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "number, why",
    [
        (signal.SIGTERM, "asked to end from outside"),
        pytest.param(signal.SIGKILL, "processes were killed", marks=pytest.mark.proof),
    ],
)
def test_a_signal_that_nobody_asked_for_is_a_loss(bench: Bench, number: signal.Signals, why: str) -> None:
    run = bench.segue.start(bench.tasks.until.s("twice"))
    bench.until(lambda: bench.has("twice.began"))
    [job] = bench.jobs()
    os.killpg(int((job / "started").read_text().split()[0]), number)
    bench.until(lambda: (bench.folder / "twice.began").read_text() == "xx")
    bench.let_go("twice")
    bench.finish(run)
    assert (run.result(), run.steps()[0].losses, run.steps()[0].attempt) == ("twice", 1, 2)
    assert why in run.attempts()[0].error.message  # type: ignore[union-attr]


@pytest.mark.parametrize("case", POLLED_CASES)
def test_the_contract_of_executors_that_are_polled(bench: Bench, case: PolledCase) -> None:
    check_polled(bench.segue, bench.tasks.near, case)


@pytest.mark.proof
@pytest.mark.parametrize("point", ["begin", "begun", "report", "reported"])
def test_a_process_that_dies_at_a_bad_moment(bench: Bench, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Just before and after it begins, and before and after it reports."""
    monkeypatch.setenv("TEST_NEAR_DIES_AT", point)
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent / 'dying'}:{os.environ.get('PYTHONPATH', '')}")
    run = bench.segue.start(bench.tasks.double.options(retries=1, retry_delay=0.0).s(4))
    bench.until(lambda: bench.has(f"died at {point}"))
    monkeypatch.delenv("TEST_NEAR_DIES_AT")
    bench.finish(run)
    step = run.steps()[0]
    assert run.result() == 8
    assert (step.attempt, step.failures) == ((1, 0) if point == "reported" else (2, 1))


def test_of_two_processes_with_one_push_only_the_first_runs_the_task(bench: Bench) -> None:
    run = bench.segue.start(bench.tasks.until.s("once"))
    bench.until(lambda: bench.has("once.began"))
    push, _ = push_of(bench, run)
    second = run_step(bench, push.id)
    assert "was begun by another" in second.communicate()[1]
    assert second.returncode == spool.NOT_MINE
    bench.let_go("once")
    bench.finish(run)
    assert (run.result(), (bench.folder / "once.began").read_text()) == ("once", "x")
    late = run_step(bench, push.id)
    late.communicate()
    assert late.returncode == spool.NOT_MINE
    unknown = run_step(bench, "019ad0c4-6d5e-7c1f-8a6b-7c8d9e0f1a2b")
    assert "no push" in unknown.communicate()[1]
    assert unknown.returncode not in (0, spool.NOT_MINE)


def test_a_job_that_the_platform_does_not_show_lives_while_its_process_reports(bench: Bench) -> None:
    run = bench.segue.start(bench.tasks.until.s("seen"))
    bench.until(lambda: bench.has("seen.began"))
    [job] = bench.jobs()
    job.rename(job.with_name("away"))
    end = time.monotonic() + 2.0
    bench.until(lambda: time.monotonic() > end)
    assert (run.steps()[0].status, run.steps()[0].losses) == ("running", 0)
    assert "does not show it" in " ".join(reason.text for reason in run.explain())
    job.with_name("away").rename(job)
    bench.let_go("seen")
    bench.finish(run)
    assert (run.result(), run.steps()[0].attempt) == ("seen", 1)


def test_acts_may_be_repeated_and_late_ones_are_refused(bench: Bench) -> None:
    """By hand, as if answers were lost."""
    engine = bench.segue.engine
    run = bench.segue.start(bench.tasks.until.s("by hand"))
    bench.until(lambda: bench.has("by hand.began"))
    push, _ = push_of(bench, run)
    assert engine.act(begin_push, push.id, holder="mine") is None
    assert not engine.act(beat_push, push.id, holder="mine", beat_seconds=30.0).is_mine
    outcome = Outcome(*push.attempt, Verdict.SUCCEEDED, '"forged"')
    assert not engine.act(report_push, push.id, outcome, holder="mine", by="test")
    with engine.reading() as tx:
        holder = pushing.push_of(tx, push.attempt)[0].holder  # type: ignore[index]
    assert holder is not None
    assert engine.act(begin_push, push.id, holder=holder) is not None
    assert engine.act(report_push, push.id, outcome, holder=holder, by="test")
    assert engine.act(report_push, push.id, outcome, holder=holder, by="test")
    assert engine.act(begin_push, push.id, holder=holder) is None
    assert run.result() == "forged"


@pytest.mark.proof
def test_a_database_that_is_away_is_waited_for(bench: Bench) -> None:
    run = bench.segue.start(bench.tasks.double.s(4))
    bench.until(lambda: run.status.is_final)
    nowhere = {**os.environ, "SEGUE_DATABASE_URL": "postgresql://127.0.0.1:1/none?connect_timeout=1"}
    command = [sys.executable, "-m", "segue", "run-step", "--push", push_of(bench, run)[0].id]
    process = subprocess.run([*command, "--patience-seconds", "1.5"], env=nowhere, capture_output=True, text=True)
    assert process.returncode == spool.NOT_REPORTED, process.stderr
    assert "was not begun" in process.stderr
