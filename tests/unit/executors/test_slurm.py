"""What Slurm's answers mean, with answers as real clusters gave them; and the words of `sbatch`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from segue.attempt import spool
from segue.attempt.spool import Spooled
from segue.attempt.spool_lists import PARTS, write_list, write_new
from segue.dispatcher.protocol import BusyError, Cause, Phase, Push, RefusedError, Sighting, UnsureError
from segue.dispatcher.work import Command, Work
from segue.errors import DefinitionError
from segue.executors.programs import Answer
from segue.executors.secret_files import secret_files
from segue.executors.slurm import Slurm, names
from segue.executors.slurm.asking import Jobs
from segue.executors.slurm.meaning import (
    accounted_jobs,
    array_size,
    is_stuck,
    is_too_large,
    queued_jobs,
    sighting_of,
    submitted,
)
from segue.executors.slurm.phantoms import Phantoms
from segue.executors.slurm.sbatch import words_of
from segue.executors.slurm.script import array_script_of, image_of, own_part, parts_of, script_of
from segue.model import Job, Outcome, Verdict
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
        (Answer(1, "", "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job "
                       "violates accounting/QOS policy (job submit limit)"), RefusedError),
        (Answer(1, "", "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"), BusyError),
        (Answer(1, "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"),
         UnsureError),
        (Answer(1, "", "sbatch: error: Unable to contact slurm controller (connect failure)"), UnsureError),
        (Answer(None, "", "sbatch did not answer within 20 s"), UnsureError),
        (Answer(0, "nonsense", ""), UnsureError),
        (Answer(-9, "", ""), UnsureError),
        (Answer(1, "", ""), UnsureError),  # it always says what it refuses
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
    return words_of(made, defaults={"partition": "long"}, environment=["PATH"])


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


def script(work: Work, folder: Path = Path("/a b/c")) -> str:
    own = own_part(work, secrets=secret_files(work.secrets, None), runner=["apptainer", "exec"])
    return script_of(folder, own, is_command=work.command is not None, setup="module load cuda", where="/w h")


def test_a_folder_with_spaces_is_one_word() -> None:
    work = Work(("/p y", "-m", "segue", "run-step"), {"WORD": "a 'b'"})
    assert script(work).splitlines() == [
        "#!/bin/sh", "cd '/w h' || exit 1", "module load cuda", "here='/a b/c'",
        '[ -d "$here" ] || mkdir -m 700 "$here" || exit 1', """export WORD='a '"'"'b'"'"''""",
        """set -- '/p y' -m segue run-step "$here\"""", 'exec "$@"',
    ]  # fmt: skip


def run_script(text: str, **more: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "SLURM_JOB_ID": "7", **more}
    return subprocess.Popen(["/bin/sh", "-c", text], text=True, stdout=subprocess.PIPE, env=variables)


def of_command(folder: Path, *words: str, **work: Any) -> str:
    made = Work(words, {"WORD": "a 'b'"}, command=Command(), **work)
    own = own_part(made, secrets=secret_files(made.secrets, str(folder)), runner=["/usr/bin/env", "IMAGE=1"])
    return script_of(folder, own, is_command=True, setup="", where="/")


def test_the_script_of_a_command_runs_it_once_and_leaves_how_it_ended(tmp_path: Path) -> None:
    text = of_command(tmp_path, "/bin/sh", "-c", 'echo "$WORD"; echo 4 > "$SEGUE_RESULT"; exit 3')
    first = run_script(text)
    assert (first.communicate()[0], first.returncode) == ("a 'b'\n", 3)
    assert (spool.begun_by(tmp_path), spool.read_exit_code(tmp_path), spool.read_result(tmp_path)) == ("7", 3, b"4\n")
    second = run_script(text, SLURM_JOB_ID="8")
    second.communicate()
    assert (second.returncode, spool.begun_by(tmp_path)) == (spool.NOT_MINE, "7")


def test_the_script_of_a_command_passes_a_signal_on(tmp_path: Path) -> None:
    words = "trap 'sleep 0.2; exit 9' TERM; touch began; while :; do sleep 0.01; done"
    process = run_script(of_command(tmp_path, "/bin/sh", "-c", f"cd {tmp_path}; {words}"))
    while not (tmp_path / "began").exists():
        assert process.poll() is None
    process.terminate()
    process.communicate()
    assert (process.returncode, spool.read_exit_code(tmp_path)) == (9, 9)


def test_each_job_of_an_array_has_its_own_words(tmp_path: Path) -> None:
    own = {}
    for place in (3, 8):
        work = Work(("/bin/sh", "-c", 'echo "$WHICH $0 ;;" ; exit 5', f"x{place}"), {"WHICH": f"esac {place}"},
                    command=Command())  # fmt: skip
        own[place] = own_part(work, secrets={}, runner=())
    parts = write_new(tmp_path / "b", PARTS, [parts_of(own).encode()])
    text = array_script_of(tmp_path / "b", parts, is_command=True, setup="", where="/")
    told = {"SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": "8"}
    found = run_script(text, **told)
    assert (found.communicate()[0], found.returncode) == ("esac 8 x8 ;;\n", 5)
    assert (spool.begun_by(tmp_path / "b/8"), spool.read_exit_code(tmp_path / "b/8")) == ("40_8", 5)
    unknown = run_script(text, **{**told, "SLURM_ARRAY_TASK_ID": "9"})
    assert ("has place 9" in unknown.communicate()[0], unknown.returncode) == (True, 1)


def test_a_job_finds_its_part_in_the_newest_list(tmp_path: Path) -> None:
    jobs = {place: Job("run", place, 1, "n", "t", "[[],{}]", None, {}, None) for place in range(4)}
    for some in ([0, 1, 2, 3], [2]):
        write_list(tmp_path, {place: spool.encoded(Spooled(jobs[place], (f"of {len(some)}",))) for place in some})
        os.utime(next(iter(tmp_path.glob("jobs-*"))), (1, 1))
    assert spool.read_job(tmp_path / "3") == Spooled(jobs[3], ("of 4",))
    assert spool.read_job(tmp_path / "2").job == jobs[2]
    with pytest.raises(FileNotFoundError, match="place 7"):
        spool.read_job(tmp_path / "7")
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o600"}


def test_images_and_folders(tmp_path: Path) -> None:
    text = of_command(tmp_path, "blastp", "-query", "a b", image="ghcr.io/acme/blast:2", cwd="/data")
    assert "--pwd /data docker://ghcr.io/acme/blast:2 blastp -query 'a b'" in text
    assert [image_of(name) for name in ("/x.sif", "library://x")] == ["/x.sif", "library://x"]
    found = run_script(of_command(tmp_path, "-c", "pwd", cwd=str(tmp_path)).replace("set -- -c", "set -- sh -c"))
    assert found.communicate()[0] == f"{tmp_path}\n"


def test_secrets_are_read_where_the_job_runs(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("geheim\n")
    (tmp_path / "token").chmod(0o600)
    text = of_command(tmp_path, "/bin/sh", "-c", 'test "$TOKEN" = geheim', secrets={"TOKEN": "token"})
    assert "geheim" not in text.replace("= geheim", "")
    assert run_script(text).wait() == 0


PUSH_ID, BATCH_ID = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2c"
ALONE, ELEMENT = Push(PUSH_ID, ("r", 0, 1), "12"), Push(PUSH_ID, ("r", 0, 1), "4711_17", BATCH_ID, 17)


def test_names_lead_back_to_pushes() -> None:
    assert names.called_by(names.name_of(ALONE), "12") == names.called(ALONE)
    assert names.called_by(names.name_of(ELEMENT), "4711_17") == names.called(ELEMENT)
    assert names.called_by(names.lone_name_of(ELEMENT), "13") == names.called(ELEMENT)
    assert names.called_by(names.name_of(ELEMENT), "4711") == names.Called(BATCH_ID)
    assert [names.called_by(name, "1") for name in ("segue-x", "other-7", "")] == [None, None, None]


def test_ids_in_few_words() -> None:
    assert names.indices([7, 0, 2, 1, 9, 8]) == "0-2,7-9"
    assert names.for_scancel(["5", "4711_3", "4711_4", "4711_9", "8_0"]) == ["5", "4711_[3-4,9]", "8_[0]"]
    assert names.expanded("4_[0-2,7%3]") == ["4_0", "4_1", "4_2", "4_7"]
    assert (names.expanded("4_1"), names.expanded("4"), names.expanded("4_[odd]")) == (["4_1"], ["4"], [])


def lines(*given: str) -> Jobs:
    texts = [f"{line.replace('B|', names.name_of(ELEMENT) + '|')}|None|0|n1|" for line in given]
    return Jobs(queued_jobs("\n".join(texts)))


@pytest.mark.parametrize(
    "given, state, may_be_cancelled, knows_array",
    [
        (["4711_17|B|RUNNING", "4711_3|B|PENDING"], "RUNNING", True, True),
        (["4711_17|segue-other|RUNNING"], None, False, False),  # the id was given again
        (["4711|B|CANCELLED"], "CANCELLED", False, True),  # the whole array, before it began
        (["4711_3|B|RUNNING"], None, False, True),  # it was cancelled before it began, which leaves no line
        (["4712_3|B|RUNNING"], None, False, False),
    ],
)
def test_the_line_of_an_element(given: list[str], state: str | None, may_be_cancelled: bool, knows_array: bool) -> None:
    found = lines(*given)
    line = found.line_of(ELEMENT)
    assert (None if line is None else line.state) == state
    assert (found.may_be_cancelled(ELEMENT), found.knows_array_of(ELEMENT)) == (may_be_cancelled, knows_array)


@pytest.mark.parametrize(
    "line, begun_by, exit_code, expected",
    [
        ("4711_17|B|FAILED|NonZeroExitCode|20992", "4800", None, (Phase.QUEUED, None, None, "4800")),
        ("4711_17|B|FAILED|NonZeroExitCode|20992", "4711_17", 0, (Phase.ENDED, Cause.EXIT, 0, None)),  # launched twice
        ("4711_17|B|FAILED|NonZeroExitCode|20992", "4711_17", 3, (Phase.ENDED, Cause.EXIT, 3, None)),
        ("4711_17|B|FAILED|NonZeroExitCode|20992", "4711_17", None, (Phase.GONE, None, None, None)),
        ("4711_17|B|FAILED|NonZeroExitCode|20992", "4711_17", 82, (Phase.ENDED, Cause.EXIT, 82, None)),  # its own
        ("4711_17|B|NODE_FAIL|NodeDown|0", "4711_17", 0, (Phase.ENDED, Cause.EXIT, 0, None)),
        ("4711_17|B|NODE_FAIL|NodeDown|0", "4711_17", 143, (Phase.ENDED, Cause.LOST, 0, None)),
        ("4711_17|B|OUT_OF_MEMORY|OutOfMemory|0", "4711_17", 0, (Phase.ENDED, Cause.OUT_OF_MEMORY, 0, None)),
        ("4711_17|B|FAILED|JobLaunchFailure|0", None, None, (Phase.ENDED, Cause.LOST, 0, None)),
        ("4711_3|B|RUNNING|None|0", None, None, (Phase.ENDED, Cause.CANCELLED, None, None)),
        ("4711_3|B|RUNNING|None|0", "4711_17", None, (Phase.GONE, None, None, None)),
        ("4711_3|B|RUNNING|None|0", "4711_17", 0, (Phase.ENDED, Cause.EXIT, 0, None)),
    ],
)
def test_what_an_attempt_left_counts(
    tmp_path: Path, line: str, begun_by: str | None, exit_code: int | None,
    expected: tuple[Phase, Cause | None, int | None, str | None],
) -> None:  # fmt: skip
    executor = Slurm("hpc", folder=str(tmp_path))
    folder = names.folder_of(tmp_path, ELEMENT)
    folder.mkdir(parents=True)
    for name, value in ((spool.BEGUN, begun_by), (spool.EXIT_CODE, exit_code)):
        if value is not None:
            (folder / name).write_text(str(value))
    jobs = Jobs(queued_jobs(f"{line.replace('B|', names.name_of(ELEMENT) + '|')}|n1|"))
    found = executor._sighting(ELEMENT, jobs, Jobs([]))
    assert (found.phase, found.cause, found.exit_code, found.held_by) == expected


def test_a_job_that_only_slurm_believes_in_is_lost_and_never_begins(tmp_path: Path) -> None:
    running = Sighting("p", Phase.RUNNING, None, "n1")
    patient, phantoms = Phantoms(60.0), Phantoms(0.0)
    assert patient.judged(running, tmp_path / "a") == patient.judged(running, tmp_path / "a") == running
    lost = phantoms.judged(running, tmp_path / "a")
    assert (lost.phase, lost.cause) == (Phase.ENDED, Cause.LOST)
    assert not spool.begin(tmp_path / "a", "4711")
    assert Phantoms(0.0).judged(running, tmp_path / "a") == lost  # another dispatcher says the same


@pytest.mark.parametrize("name, content, code", [
    (spool.EXIT_CODE, "3", 3), (spool.OUTCOME, msgspec.json.encode(Outcome("r", 0, 1, Verdict.FAILED)).decode(), 0),
])  # fmt: skip
def test_an_end_counts_that_slurm_has_not_noticed(tmp_path: Path, name: str, content: str, code: int) -> None:
    running = Sighting("p", Phase.RUNNING, None, "n1")
    phantoms = Phantoms(0.0)
    assert spool.begin(tmp_path, "4711")
    assert phantoms.judged(running, tmp_path) == running
    (tmp_path / name).write_text(content)
    assert phantoms.judged(running, tmp_path) == running  # the job may just be ending
    ended = phantoms.judged(running, tmp_path)
    assert (ended.phase, ended.cause, ended.exit_code) == (Phase.ENDED, Cause.EXIT, code)
    phantoms.forget("p")
    assert phantoms.judged(running, tmp_path) == running


def test_the_size_of_arrays() -> None:
    assert [array_size(f"A = 1\nMaxArraySize            = {size}\nB") for size in (1001, 50, 0)] == [1000, 50, 0]
    assert array_size("nothing") == 0
    with pytest.raises(BusyError) as busy:
        submitted(Answer(1, "", "sbatch: error: Batch job submission failed: Invalid job array specification"))
    assert (busy.value.seconds, is_too_large(busy.value)) == (0.0, True)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "5"])
def test_how_long_a_launch_may_take_is_a_time(seconds: object) -> None:
    with pytest.raises(DefinitionError, match="launch_seconds"):
        Slurm("hpc", folder="/shared", launch_seconds=seconds)  # type: ignore[arg-type]


def test_a_folder_must_be_absolute() -> None:
    with pytest.raises(DefinitionError, match="absolute"):
        Slurm("hpc", folder="shared")
