"""Steps as arrays of jobs of a real Slurm cluster."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.executors.slurm.conftest import Bench


def test_a_map_is_one_array(bench: Bench) -> None:
    """Tasks and commands, each with its own words; one of the tasks fails."""
    before = len(bench.jobs())
    tasks, commands_ = bench.segue.start(bench.tasks.uneven, 6), bench.segue.start(bench.tasks.echoes, 4)
    bench.finish(tasks, commands_)
    assert commands_.result() == [{"exit_code": 0, "output": f"word {number}\n"} for number in range(4)]
    assert [step.status for step in tasks.steps() if step.handle] == ["succeeded"] * 3 + ["failed"] + ["succeeded"] * 2
    handles = [str(step.handle) for run in (tasks, commands_) for step in run.steps() if step.handle]
    assert len({handle.partition("_")[0] for handle in handles}) == 2
    assert len(bench.jobs()) == before + 10
    outputs = [attempt.output for attempt in tasks.attempts()]
    assert sorted(outputs) == [f"half of {number}\n" for number in range(6)]


@pytest.mark.proof
def test_one_job_of_an_array_is_cancelled_and_the_others_go_on(bench: Bench) -> None:
    """Also one that has not begun, which leaves no trace in the cluster."""
    held = {"sbatch": ["--hold"]}
    waiting = [bench.segue.start(bench.tasks.double.options(push=held).s(number)) for number in range(3)]
    running = [bench.segue.start(bench.tasks.until.s(f"of-{number}")) for number in range(3)]
    bench.until(lambda: all(bench.began(f"of-{number}") for number in range(3)))
    bench.until(lambda: all(run.steps()[0].handle for run in waiting))
    for run in (waiting[1], running[1]):
        run.cancel()
    bench.finish(waiting[1], running[1])
    assert {waiting[1].status, running[1].status} == {"cancelled"}
    assert not [run for run in (waiting[0], waiting[2], running[0], running[2]) if run.status.is_final]
    bench.cluster.ask("scancel", str(running[0].steps()[0].handle))  # somebody else does
    bench.until(lambda: running[0].steps()[0].losses == 1)
    for number in (0, 2):
        bench.let_go(f"of-{number}")
    bench.cluster.ask("scontrol", "release", str(waiting[0].steps()[0].handle).partition("_")[0])
    bench.finish(*running, *waiting)
    assert [run.status for run in (*waiting, *running)] == ["succeeded", "cancelled", "succeeded"] * 2
    assert (running[0].steps()[0].attempt, waiting[0].result(), waiting[2].result()) == (2, 0, 4)


def test_no_secret_is_anywhere(bench: Bench) -> None:
    """A command that reads one: not in a row, in no file but its own, in no list of processes, in no log."""
    secret = "geheim-" + os.urandom(4).hex()
    bench.secrets.mkdir()
    (bench.secrets / "token").write_text(secret)
    (bench.secrets / "token").chmod(0o600)
    run = bench.segue.start(bench.tasks.secretive, str(len(secret)))
    shown: list[str] = []
    bench.until(lambda: shown.append(processes()) or run.status.is_final)  # type: ignore[func-returns-value]
    assert run.status == "succeeded"
    assert not [text for text in shown if secret in text]
    files = [*bench.folder.rglob("*"), *Path(bench.cluster.folder).rglob("*")]
    found = [path for path in files if path.is_file() and secret.encode() in path.read_bytes()]
    assert found == [bench.secrets / "token"]


def processes() -> str:
    """The words of all processes of this machine."""
    words = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(words)
