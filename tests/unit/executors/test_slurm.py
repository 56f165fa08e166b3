"""What Slurm's answers mean, with answers as real clusters gave them; and the words of `sbatch`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from segue.attempt import spool
from segue.dispatcher.protocol import BusyError, Cause, Phase, RefusedError, UnsureError
from segue.dispatcher.work import Command, Work
from segue.errors import DefinitionError
from segue.executors.slurm import Slurm
from segue.executors.slurm.commands import Answer
from segue.executors.slurm.meaning import accounted_jobs, is_stuck, queued_jobs, sighting_of, submitted
from segue.executors.slurm.script import script_of, words_of
from segue.plan.pushed import PushSpec, Resources


@pytest.mark.parametrize("out", ["17\n", "17;cluster\n"])
def test_an_id(out: str) -> None:
    assert submitted(Answer(0, out, "")) == "17"


@pytest.mark.parametrize(
    "answer, error",
    [
        (Answer(1, "", "sbatch: error: invalid partition specified: nowhere"), RefusedError),
        (Answer(1, "", "sbatch: error: Batch job submission failed: Requested node configuration is not available"),
         RefusedError),
        (Answer(1, "", "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job "
                       "violates accounting/QOS policy (job submit limit)"), BusyError),
        (Answer(1, "", "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"), BusyError),
        (Answer(1, "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"),
         UnsureError),
        (Answer(1, "", "sbatch: error: Unable to contact slurm controller (connect failure)"), UnsureError),
        (Answer(None, "", "sbatch did not answer within 20 s"), UnsureError),
        (Answer(0, "nonsense", ""), UnsureError),
    ],
)  # fmt: skip
def test_answers_without_an_id(answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        submitted(answer)


@pytest.mark.parametrize(
    "line, phase, cause, code",
    [
        ("7|segue-x|PENDING|Priority|0||", Phase.QUEUED, None, None),
        ("7|segue-x|RUNNING|None|0|n042|", Phase.RUNNING, None, None),
        ("7|segue-x|COMPLETING|None|0|n042|", Phase.RUNNING, None, None),
        ("7|segue-x|COMPLETED|None|0|n042|", Phase.ENDED, Cause.EXIT, 0),
        ("7|segue-x|FAILED|NonZeroExitCode|768|n042|", Phase.ENDED, Cause.EXIT, 3),
        ("7|segue-x|FAILED|RaisedSignal:9|9|n042|", Phase.ENDED, Cause.SIGNAL, -9),
        ("7|segue-x|FAILED|BadConstraints|0||", Phase.ENDED, Cause.CONFIG, 0),
        ("7|segue-x|OUT_OF_MEMORY|OutOfMemory|253|n042|", Phase.ENDED, Cause.OUT_OF_MEMORY, -125),
        ("7|segue-x|TIMEOUT|TimeLimit|9|n042|", Phase.ENDED, Cause.TIMEOUT, -9),
        ("7|segue-x|NODE_FAIL|NodeDown|0|n042|", Phase.ENDED, Cause.LOST, 0),
        ("7|segue-x|CANCELLED|None|0||", Phase.ENDED, Cause.CANCELLED, 0),
        ("7|segue-x|A_STATE_OF_THE_FUTURE|None|0||", Phase.QUEUED, None, None),
    ],
)
def test_lines_of_squeue(line: str, phase: Phase, cause: Cause | None, code: int | None) -> None:
    [job] = queued_jobs(f"\n{line}\nslurm_load_jobs error: nonsense\n")
    sighting = sighting_of("push", job)
    assert (job.id, job.name) == ("7", "segue-x")
    assert (sighting.phase, sighting.cause, sighting.exit_code) == (phase, cause, code)


def test_lines_of_sacct() -> None:
    lines = "7|segue-x|CANCELLED by 0|0:15|n1\n8|segue-y|FAILED|3:0|n1\n9|segue-z|COMPLETED|0:0|None assigned\nx|y\n"
    found = [(sighting_of("push", job).cause, sighting_of("push", job).exit_code) for job in accounted_jobs(lines)]
    assert found == [(Cause.CANCELLED, -15), (Cause.EXIT, 3), (Cause.EXIT, 0)]


def test_a_held_requeue_is_stuck() -> None:
    [held, waits] = queued_jobs("7|x|PENDING|launch failed requeued held|0||\n8|x|PENDING|Resources|0||\n")
    assert (is_stuck(held), is_stuck(waits)) == (True, False)


def words(spec: PushSpec = PushSpec(), **work: Any) -> list[str]:  # noqa: B008 - it is frozen
    made = Work(("true",), {}, spec.resources, spec.options, **work)
    return words_of("segue-x", Path("/shared/x"), made, defaults={"partition": "long"}, environment=["PATH"])


def test_what_sbatch_is_asked() -> None:
    spec = PushSpec(Resources(4, "8GiB", 2, "a100", "500MB"), {"partition": "short", "sbatch": ["--exclusive"]})
    asked = words(spec, timeout=61.0)
    for word in ("--no-requeue", "--export=PATH", "--cpus-per-task=4", "--mem=8192M", "--gres=gpu:a100:2", "--tmp=477M",
                 "--partition=short", "--time=3", "--exclusive"):  # fmt: skip
        assert word in asked
    assert "--partition=long" in words()
    assert "--time=2" in words(timeout=61.0, command=Command())


@pytest.mark.parametrize("options", [{"colour": "red"}, {"sbatch": "--exclusive"}, {"sbatch": [1]}])
def test_options_that_it_does_not_know_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(RefusedError, match="push="):
        words(PushSpec(options=options))


def script(*words: str, **work: Any) -> str:
    made = Work(words, {"WORD": "a 'b'"}, **work)
    return script_of(Path("/a b/c"), made, setup="module load cuda", where="/w h")


def test_a_folder_with_spaces_is_one_word() -> None:
    assert script("/p y", "-m", "segue", "run-step", "/a b/c").splitlines() == [
        "#!/bin/sh", "cd '/w h' || exit 1", "module load cuda", """export WORD='a '"'"'b'"'"''""",
        "exec '/p y' -m segue run-step '/a b/c'",
    ]  # fmt: skip


def run_script(folder: Path, *words: str, job: str = "7") -> subprocess.Popen[str]:
    made = Work(words, {"WORD": "a 'b'"}, command=Command())
    text = script_of(folder, made, setup="", where="/")
    return subprocess.Popen(
        ["/bin/sh", "-c", text], text=True, stdout=subprocess.PIPE, env={**os.environ, "SLURM_JOB_ID": job}
    )  # fmt: skip


def test_the_script_of_a_command_runs_it_once_and_leaves_how_it_ended(tmp_path: Path) -> None:
    words = ("/bin/sh", "-c", 'echo "$WORD"; echo 4 > "$SEGUE_RESULT"; exit 3')
    first = run_script(tmp_path, *words)
    assert (first.communicate()[0], first.returncode) == ("a 'b'\n", 3)
    assert (spool.begun_by(tmp_path), spool.read_exit_code(tmp_path), spool.read_result(tmp_path)) == ("7", 3, b"4\n")
    second = run_script(tmp_path, *words, job="8")
    second.communicate()
    assert (second.returncode, spool.begun_by(tmp_path)) == (spool.NOT_MINE, "7")


def test_the_script_of_a_command_passes_a_signal_on(tmp_path: Path) -> None:
    words = "trap 'sleep 0.2; exit 9' TERM; touch began; while :; do sleep 0.01; done"
    process = run_script(tmp_path, "/bin/sh", "-c", f"cd {tmp_path}; {words}")
    while not (tmp_path / "began").exists():
        assert process.poll() is None
    process.terminate()
    process.communicate()
    assert (process.returncode, spool.read_exit_code(tmp_path)) == (9, 9)


def test_what_jobs_of_slurm_do_not_have_is_refused() -> None:
    for wrong in ({"image": "blast:2"}, {"secrets": {"TOKEN": "blast/token"}}):
        with pytest.raises(RefusedError, match="jobs of Slurm have no"):
            script("true", command=Command(), **wrong)


def test_a_folder_must_be_absolute() -> None:
    with pytest.raises(DefinitionError, match="absolute"):
        Slurm("hpc", folder="shared")
