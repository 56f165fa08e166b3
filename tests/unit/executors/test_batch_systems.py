"""What the answers of batch systems mean, and the words of their programs.

Those of Grid Engine were recorded from 8.1.9. Those of PBS and LSF were written after their references, and after what
others recorded.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from segue.dispatcher.protocol import BlindError, BusyError, Cause, Phase, RefusedError, UnsureError
from segue.dispatcher.work import Command, Work
from segue.errors import DefinitionError
from segue.executors.commands import LSF, PBS, GridEngine
from segue.executors.commands.grid_engine import GridEngineWords
from segue.executors.commands.lsf import LSFWords
from segue.executors.commands.pbs import PBSWords
from segue.executors.commands.script import in_container, script_of
from segue.executors.commands.system import Asked, BatchSystem, JobLine, checked_options, end_of
from segue.executors.programs import Answer, Programs
from segue.plan.pushed import Resources

NAME = "segue-abcdefghijklmnopqrstuvwxyz"
SGE, PBSPRO, LSF10 = GridEngineWords(), PBSWords(), LSFWords()
VAST = Resources(cpu=4, memory="8GiB", gpu=1)


def asked(work: Work | None = None, **options: Any) -> Asked:
    return Asked(NAME, Path("/shared/x"), work or Work(("true",), {}), options, ["PATH", "LANG"])


@pytest.mark.parametrize(
    "system, code, out, err, expected",
    [
        (SGE, 0, "4711\n", "", "4711"),
        (SGE, 0, "warning: no suitable queues\n4712\n", "", "4712"),
        (SGE, 1, "", 'Unable to run job: unknown resource "foo"\nExiting.', RefusedError),
        (SGE, 1, "", 'Unable to run job: job rejected: the requested project "nop" does not exist', RefusedError),
        (SGE, 25, "", "Unable to run job: job rejected: only 3 jobs are allowed per user (job count: 3)", BusyError),
        (SGE, 1, "", "error: commlib error: got select error\nUnable to run job: unable to send message to qmaster",
         UnsureError),
        (SGE, 1, "", 'Unable to run job: denied: host "laptop" is no submit host.\nExiting.', BusyError),
        (SGE, None, "", "qsub did not answer within 20 s", UnsureError),
        (SGE, 0, "", "", UnsureError),
        (SGE, 1, "", "Segmentation fault", UnsureError),
        (PBSPRO, 0, "1234.pbs01\n", "", "1234"),
        (PBSPRO, 170, "", "qsub: Unknown queue", RefusedError),
        (PBSPRO, 188, "", "qsub: Job exceeds queue and/or server resource limits", RefusedError),
        (PBSPRO, 38, "", "qsub: would exceed queue generic's per-user limit of jobs in 'Q' state", BusyError),
        (SGE, 0, "", "too many warnings of a wrapper", UnsureError),
        (SGE, -9, "", "Unable to run job: job limit", UnsureError),
        (PBSPRO, -15, "", "qsub: Maximum number of jobs already in queue workq", UnsureError),
        (LSF10, -15, "", "User's job limit is exceeded. Job not submitted.", UnsureError),
        (PBSPRO, 1, "", "qsub: Maximum number of jobs already in queue workq", BusyError),
        (PBSPRO, 111, "", "Connection refused\nqsub: cannot connect to server pbs01 (errno=111)", UnsureError),
        (PBSPRO, None, "", "qsub did not answer within 20 s", UnsureError),
        (LSF10, 0, "Job <4711> is submitted to queue <normal>.\n", "", "4711"),
        (LSF10, 0, "Job <4711> is submitted to default queue <normal>.\n", "", "4711"),
        (LSF10, 255, "", "no_such: No such queue. Job not submitted.", RefusedError),
        (LSF10, 255, "", "User's job limit is exceeded. Job not submitted.", BusyError),
        (LSF10, 255, "", "LSF is down. Please wait ...", UnsureError),
        (LSF10, None, "", "bsub did not answer within 20 s", UnsureError),
    ],
)  # fmt: skip
def test_answers_to_submissions(
    system: BatchSystem, code: int | None, out: str, err: str, expected: str | type[Exception]
) -> None:
    if isinstance(expected, str):
        assert system.submitted(Answer(code, out, err)) == expected
        return
    with pytest.raises(expected):
        system.submitted(Answer(code, out, err))


QSTAT_XML = """<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>
    <job_list state="running"><JB_job_number>7</JB_job_number><JAT_prio>0.75</JAT_prio><JB_name>a</JB_name>
      <JB_owner>ada</JB_owner><state>r</state><queue_name>all.q@vm</queue_name><slots>4</slots></job_list>
    <job_list state="running"><JB_job_number>9</JB_job_number><JB_name>d</JB_name><state>dr</state>
      <queue_name>all.q@vm</queue_name></job_list>
    <job_list state="running"><JB_job_number>10</JB_job_number><JB_name>t</JB_name><state>t</state>
      <queue_name>all.q@vm</queue_name></job_list>
  </queue_info>
  <job_info>
    <job_list state="pending"><JB_job_number>8</JB_job_number><JB_name>b</JB_name><state>Eqw</state>
      <queue_name></queue_name></job_list>
    <job_list state="pending"><JB_job_number>14</JB_job_number><JB_name>c</JB_name><state>hqw</state></job_list>
    <job_list state="pending"><JB_job_number>15</JB_job_number><JB_name>w</JB_name><state>qw</state></job_list>
  </job_info>
</job_info>"""
QSTAT_F = """\
Job Id: 1234.pbs01
    Job_Name = a
    Job_Owner = ada@login1
    job_state = R
    exec_host = node7/0*4
    comment = Job run at Mon Nov 30 at 12:00 on (node7:ncpus=4:mem=838
\t8608kb)
    Variable_List = PBS_O_HOME=/home/ada,
\tPBS_O_PATH=/usr/bin
Job Id: 1235.pbs01
    Job_Name = b
    job_state = Q
    comment = Not Running: Insufficient amount of resource: ncpus
Job Id: 1236.pbs01
    Job_Name = c
    job_state = H
Job Id: 1237.pbs01
    Job_Name = d
    job_state = F
    substate = 93
    exec_host = node7/1
    Exit_status = 3
Job Id: 1238.pbs01
    Job_Name = e
    job_state = F
    substate = 91
    Exit_status = 271
Job Id: 1239.pbs01
    Job_Name = f
    job_state = F
    substate = 91
Job Id: 1240.pbs01
    Job_Name = g
    job_state = F
    substate = 93
    Exit_status = -29
Job Id: 1241.pbs01
    Job_Name = h
    job_state = F
    substate = 93
    Exit_status = 265
    comment = Job run and terminated, walltime 152 exceeded limit 120
Job Id: 1242.pbs01
    Job_Name = i
    job_state = F
    Exit_status = -3
Job Id: 1243.pbs01
    Job_Name = j
    job_state = F
    substate = 93
    Exit_status = 265
"""
BJOBS = """\
1|PEND|-|-|a|-|Individual host-based reasons;
2|RUN|-|4*node7:2*node8|b|-|-
3|DONE|-|node7|c|-|-
4|EXIT|3|node7|d|-|-
5|EXIT|140|node7|e|TERM_RUNLIMIT: job killed after reaching LSF run time limit|-
6|EXIT|137|node7|f|TERM_MEMLIMIT: job killed after reaching LSF memory usage limit|-
7|EXIT|130|node7|g|TERM_OWNER: job killed by owner|-
8|PSUSP|-|-|h|-|The job was suspended by the user while pending;
9|UNKWN|-|node7|i|-|-
10|ZOMBI|-|node7|j|-|-
11|NEWSTATE|-|-|k|-|-
Job <6065212> is not found
"""
Q, R, E = Phase.QUEUED, Phase.RUNNING, Phase.ENDED


@pytest.mark.parametrize(
    "system, answer, expected",
    [
        (SGE, QSTAT_XML, [
            JobLine("7", "a", R, None, "vm"), JobLine("9", "d", R, None, "vm"), JobLine("10", "t", Q, "t", "vm"),
            JobLine("8", "b", Q, "Eqw, an error: someone must clear it (qmod -cj) or end the job", is_stuck=True),
            JobLine("14", "c", Q, "hqw, held: someone must release it (qrls)"), JobLine("15", "w", Q, "qw"),
        ]),
        (PBSPRO, QSTAT_F, [
            JobLine("1234", "a", R, None, "node7"),
            JobLine("1235", "b", Q, "Not Running: Insufficient amount of resource: ncpus"),
            JobLine("1236", "c", Q, "held: someone must release it (qrls)", is_stuck=True),
            JobLine("1237", "d", E, None, "node7", Cause.EXIT, 3),
            JobLine("1238", "e", E, "F", None, Cause.CANCELLED, -15),
            JobLine("1239", "f", E, "F", None, Cause.CANCELLED),
            JobLine("1240", "g", E, "Exit_status -29", None, Cause.TIMEOUT, -29),
            JobLine("1241", "h", E, "Job run and terminated, walltime 152 exceeded limit 120", None, Cause.TIMEOUT, -9),
            JobLine("1242", "i", E, "Exit_status -3", None, Cause.LOST, -3),
            JobLine("1243", "j", E, "F", None, Cause.SIGNAL, -9),
        ]),
        (LSF10, BJOBS, [
            JobLine("1", "a", Q, "Individual host-based reasons;"), JobLine("2", "b", R, None, "node7"),
            JobLine("3", "c", E, None, "node7", Cause.EXIT, 0), JobLine("4", "d", E, None, "node7", Cause.EXIT, 3),
            JobLine("5", "e", E, "TERM_RUNLIMIT: job killed after reaching LSF run time limit", "node7",
                    Cause.TIMEOUT, 140),
            JobLine("6", "f", E, "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit", "node7",
                    Cause.OUT_OF_MEMORY, 137),
            JobLine("7", "g", E, "TERM_OWNER: job killed by owner", "node7", Cause.CANCELLED, 130),
            JobLine("8", "h", Q, "PSUSP, held: someone must resume it (bresume)", is_stuck=True),
            JobLine("9", "i", R, "its machine does not answer (UNKWN)", "node7"),
            JobLine("10", "j", E, "ZOMBI, its machine does not answer", "node7", Cause.LOST),
            JobLine("11", "k", Q, "NEWSTATE"),
        ]),
    ],
    ids=["grid engine", "pbs", "lsf"],
)  # fmt: skip
def test_lists(system: BatchSystem, answer: str, expected: list[JobLine]) -> None:
    assert list(system.listed(Answer(0, answer, ""))) == expected


@pytest.mark.parametrize(
    "system, answer",
    [
        (SGE, Answer(1, "", "error: commlib error: got select error (Connection refused)")),
        (SGE, Answer(0, "<job_info><queue", "")),
        (PBSPRO, Answer(1, "", "Connection refused\nqstat: cannot connect to server pbs01 (errno=111)")),
        (LSF10, Answer(255, "", "LSF is down. Please wait ...")),
    ],
)
def test_no_list_is_not_an_empty_list(system: BatchSystem, answer: Answer) -> None:
    with pytest.raises(BlindError):
        list(system.listed(answer))


@pytest.mark.parametrize(
    "system, answer",
    [
        (SGE, Answer(0, "<job_info><queue_info/><job_info/></job_info>", "")),
        (PBSPRO, Answer(153, "", "qstat: Unknown Job Id 1234.pbs01")),
        (PBSPRO, Answer(0, "", "")),
        (LSF10, Answer(255, "", "No job found")),
    ],
)
def test_lists_without_jobs(system: BatchSystem, answer: Answer) -> None:
    assert list(system.listed(answer)) == []


def record(**fields: str) -> str:
    lines = {"qname": "all.q", "hostname": "vm", "jobname": "a", "jobnumber": "9", "slots": "1", "failed": "0",
             "exit_status": "0", "ru_wallclock": "4s", "maxvmem": "3.176MB", "category": "NONE", **fields}  # fmt: skip
    return "=" * 62 + "\n" + "".join(f"{name:<13}{value}\n" for name, value in lines.items())


LIMIT = "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit"
KILLED = {"failed": "100 : assumedly after job", "exit_status": "137                  (Killed)"}


@pytest.mark.parametrize(
    "fields, cause, code",
    [
        ({"exit_status": "3"}, Cause.EXIT, 3),
        (KILLED, Cause.SIGNAL, -9),
        ({**KILLED, "failed": LIMIT, "category": "-l h_rt=3"}, Cause.TIMEOUT, -9),
        ({**KILLED, "failed": LIMIT, "category": "-l h_vmem=100M", "maxvmem": "195.551MB"}, Cause.OUT_OF_MEMORY, -9),
        ({**KILLED, "category": "-l h_vmem=300M -pe smp 4", "slots": "4", "maxvmem": "1.2G"}, Cause.OUT_OF_MEMORY, -9),
        ({**KILLED, "category": "-l h_vmem=300M -pe smp 4", "slots": "4", "maxvmem": "1.1G"}, Cause.SIGNAL, -9),
        ({**KILLED, "failed": LIMIT}, Cause.SIGNAL, -9),
        ({"failed": "26  : opening input/output file"}, Cause.LOST, 0),
    ],
)
def test_records_of_grid_engine(fields: Mapping[str, str], cause: Cause, code: int) -> None:
    """The last record counts: one id may have several."""
    text = record(jobname="older", exit_status="1") + record(**fields)
    *_, last = SGE.ended(Answer(0, text, ""))
    assert (last.id, last.name, last.phase, last.host, last.cause, last.exit_code) == ("9", "a", E, "vm", cause, code)
    assert list(SGE.ended(Answer(1, "", "error: job id 77 not found"))) == []


@pytest.mark.parametrize(
    "said, cause, code",
    [
        ("Done successfully. The CPU time used is 0.0 seconds;", Cause.EXIT, 0),
        ("Exited with exit code 3. The CPU time used is 0.0 seconds;", Cause.EXIT, 3),
        ("Exited by signal 9. The CPU time used is 0.0 seconds;", Cause.SIGNAL, -9),
        ("Exited with exit code 140.\nMon Nov 30 12:01:00: Completed <exit>; TERM_RUN\n                     LIMIT: job",
         Cause.TIMEOUT, 140),
    ],
)  # fmt: skip
def test_histories_of_lsf(said: str, cause: Cause, code: int) -> None:
    text = (
        "\nJob <4711>, Job Name <segue-abcdefghijklmnop\n                     qrstuvwxyz>, User <ada>, Project <p>\n"
        f"Mon Nov 30 12:00:00: Submitted from host <login1>;\nMon Nov 30 12:00:09: {said}\n"
    )
    [line] = LSF10.ended(Answer(0, text, ""))
    assert (line.id, line.name, line.cause, line.exit_code) == ("4711", NAME, cause, code)
    assert list(LSF10.ended(Answer(0, "No matching job found\n", ""))) == []


def test_deletions() -> None:
    said = "root has deleted job 14\nroot has registered the job 7 for deletion\n"
    assert list(SGE.deleted(Answer(0, said, ""))) == ["14"]
    assert list(SGE.deleted(Answer(1, 'denied: job "7" does not exist\n', ""))) == []
    assert list(PBSPRO.deleted(Answer(153, "", "qdel: Unknown Job Id 7.pbs01"))) == []
    assert list(LSF10.deleted(Answer(255, "", "Job <7>: Job has already finished"))) == []
    for system, said in ((SGE, "commlib error"), (PBSPRO, "cannot connect to server"), (LSF10, "LSF is down")):
        with pytest.raises(BlindError):
            list(system.deleted(Answer(1, "", said)))
    assert SGE.delete(["7", "8"], hard=True) == ["qdel", "-f", "7", "8"]


def test_why_a_job_is_in_the_state_of_error() -> None:
    said = 'error reason          1:      11/30/2026 22:00:26 [0:28887]: error: can\'t open output file "/nowhere/x"\n'
    assert SGE.explained(Answer(0, f"job_number: 8\n{said}", "")) == 'error: can\'t open output file "/nowhere/x"'
    assert SGE.explained(Answer(1, "", "Following jobs do not exist")) is None


def test_what_is_asked_of_grid_engine() -> None:
    words = SGE.submit(asked(Work(("true",), {}, VAST, timeout=600), queue="short.q", qsub=["-now", "no"]))
    assert words == [
        "qsub", "-terse", "-r", "n", "-S", "/bin/sh", "-N", NAME, "-j", "y", "-o", "/shared/x/output", "-notify", "-q",
        "short.q", "-v", "PATH,LANG", "-pe", "smp", "4", "-l", "h_vmem=2048M,gpu=1,h_rt=660", "-now", "no",
    ]  # fmt: skip
    assert "-notify" not in GridEngineWords(notify=False).submit(asked())
    named = SGE.submit(
        asked(Work(("true",), {}, Resources(memory="1GiB", tmp="1GiB")), memory="mem_free", tmp="scratch")
    )
    assert named[-2:] == ["-l", "mem_free=1024M,scratch=1024M"]
    with pytest.raises(RefusedError, match="tmp='scratch'"):
        SGE.submit(asked(Work(("true",), {}, Resources(tmp="1GiB"))))
    with pytest.raises(RefusedError, match="gpu_type='a100'"):
        SGE.submit(asked(Work(("true",), {}, Resources(gpu=1, gpu_type="a100"))))


def test_what_is_asked_of_pbs_and_lsf() -> None:
    words = PBSPRO.submit(asked(Work(("true",), {}, VAST, timeout=600), project="p42", select="arch=linux"))
    assert words[-6:] == [
        "-v",
        "PATH,LANG",
        "-l",
        "select=1:ncpus=4:mem=8192mb:ngpus=1:arch=linux",
        "-l",
        "walltime=660",
    ]
    assert words[3:5] == ["-r", "n"]
    words = LSF10.submit(asked(Work(("true",), {}, VAST, timeout=600), queue="normal", resource="select[avx2]"))
    assert words == [
        "bsub", "-rn", "-J", NAME, "-o", "/dev/null", "-L", "/bin/sh", "-q", "normal", "-n", "4", "-M", "8192MB", "-R",
        "span[hosts=1] rusage[mem=8192MB] select[avx2]", "-gpu", "num=1", "-W", "11",
    ]  # fmt: skip


def test_wrong_options_say_which_there_are() -> None:
    with pytest.raises(RefusedError, match=r"unknown options colour; Grid Engine has queue, .* and qsub="):
        checked_options(SGE, {"queue": "a"}, {"colour": "red"})
    with pytest.raises(RefusedError, match="qsub= that is no list"):
        checked_options(SGE, {}, {"qsub": "-now no"})
    for make in (GridEngine, PBS, LSF):
        with pytest.raises(DefinitionError, match="colour"):
            make("x", folder="/shared", colour="red")  # type: ignore[operator]
        with pytest.raises(DefinitionError, match="absolute path"):
            make("x", folder="/shared/$USER")  # type: ignore[operator]


def test_programs_get_no_variable_that_was_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEGUE_DATABASE_URL", "AWS_SECRET", "SGE_ROOT", "MODE"):
        monkeypatch.setenv(name, "geheim")
    programs = Programs("it", names=["MODE"], prefixes=("SGE_",), settings={"SGE_CELL": "one"}, seconds=5)
    found = programs.ask([sys.executable, "-c", "import os; print(*sorted(os.environ))"]).out.split()
    assert {"SGE_ROOT", "SGE_CELL", "MODE", "PATH"} <= set(found)
    assert not {"SEGUE_DATABASE_URL", "AWS_SECRET"} & set(found)
    with pytest.raises(BlindError, match="did not answer within"):
        Programs("it", names=[], prefixes=("SGE_",), settings={}, seconds=0.1).ask(["sleep", "5"])
    with pytest.raises(BlindError, match="cannot be run"):
        programs.ask(["no-such-program"])


def run_script(folder: Path, work: Work, *, redirects: bool = True) -> int:
    text = script_of(
        folder, work, setup="SETUP=done", where=str(folder), job_id="${PBS_JOBID%%.*}", signals=("TERM",),
        redirects=redirects,
    )  # fmt: skip
    settings = {"PBS_JOBID": "4711.pbs01", "PATH": "/usr/bin:/bin"}
    return subprocess.run(["/bin/sh"], input=text, text=True, env=settings, check=False, timeout=20).returncode


def test_the_script_of_a_command(tmp_path: Path) -> None:
    words = ("/bin/sh", "-c", "echo $MODE; echo $SEGUE_JOB_ID >&2; printf 1 > $SEGUE_RESULT; exit 7")
    work = Work(words, {"MODE": "it's"}, command=Command())
    assert run_script(tmp_path, work) == 7
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"begun": "4711", "exit_code": "7", "output": "it's\n4711\n", "result": "1"}
    assert run_script(tmp_path, work) == 82  # the same attempt is not run twice
    assert (tmp_path / "exit_code").read_text() == "7"
    assert run_script(tmp_path / "missing", work) == 84
    ended = Work(("/bin/sh", "-c", "kill -TERM $PPID; sleep 20"), {}, command=Command())
    (tmp_path / "begun").unlink()
    (tmp_path / "exit_code").unlink()
    assert run_script(tmp_path, ended) == 85
    assert not (tmp_path / "exit_code").exists()


def test_images_of_commands() -> None:
    folder = Path("/shared/x")
    work = Work(("blastp", "-h"), {}, Resources(gpu=1), image="acme/blast:2", cwd="/data", command=Command())
    assert in_container(work, folder, ["apptainer", "exec"]).words == (
        "apptainer", "exec", "--bind", "/shared/x", "--nv", "--pwd", "/data", "docker://acme/blast:2", "blastp", "-h"
    )  # fmt: skip
    for image in ("/images/blast.sif", "oras://acme/blast", "library://blast"):
        assert image in in_container(work._replace(image=image), folder, ["apptainer", "exec"]).words


@pytest.mark.parametrize(
    "cause, code, left, expected",
    [
        (Cause.EXIT, 3, None, (E, Cause.EXIT, 3)),
        (Cause.EXIT, 0, 0, (E, Cause.EXIT, 0)),
        (Cause.EXIT, 0, None, (Phase.GONE, None, None)),  # the record of a deletion that was forced
        (Cause.SIGNAL, -9, 130, (E, Cause.EXIT, 130)),  # of the command, which a signal ended before its job
        (Cause.TIMEOUT, -9, 143, (E, Cause.TIMEOUT, -9)),
        (Cause.EXIT, 85, None, (E, Cause.CANCELLED, 85)),
        (Cause.EXIT, 84, None, (E, Cause.LOST, 84)),
        (Cause.EXIT, 82, None, (E, Cause.LOST, 82)),
    ],
)
def test_ends(cause: Cause, code: int, left: int | None, expected: tuple[Phase, Cause | None, int | None]) -> None:
    job = JobLine("7", NAME, E, None, "vm", cause, code)
    found = end_of("p", job, left=left, folder=Path("/shared"), title="PBS")
    assert (found.phase, found.cause, found.exit_code) == expected
