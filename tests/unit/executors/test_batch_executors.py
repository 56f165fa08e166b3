"""What the executors of PBS and LSF ask and conclude, with programs that answer from files."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from segue.attempt import spool
from segue.dispatcher.protocol import BlindError, Cause, Phase, Push, RefusedError, Sighting, Submission
from segue.executors.commands import LSF, PBS, GridEngine
from segue.model import Job, Outcome, Verdict

IDS = [f"0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2{last}" for last in "0123456"]
PUSHES = [Push(push_id, ("r", 0, 1), str(number)) for number, push_id in enumerate(IDS, start=1)]
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> {folder}/calls
cat > {folder}/script
cat {folder}/$(basename "$0").out 2> /dev/null
exit $(cat {folder}/$(basename "$0").code 2> /dev/null || echo 0)
"""


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder: what a program answers is in its file `.out`, and what was called in `calls`."""
    for name in ("qsub", "qstat", "qdel", "bsub", "bjobs", "bhist", "bkill"):
        (tmp_path / name).write_text(PROGRAM.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def calls(answers: Path) -> list[str]:
    found = (answers / "calls").read_text().splitlines()
    (answers / "calls").unlink()
    return found


def leave(folder: Path, push: Push, *, code: str | None = None, begun: str | None = None) -> None:
    (folder / push.name).mkdir(parents=True)
    if code is not None:
        (folder / push.name / spool.EXIT_CODE).write_text(code)
    if begun is not None:
        (folder / push.name / spool.BEGUN).write_text(begun)


def block(push: Push, state: str, *more: str) -> str:
    lines = [f"Job_Name = {push.name}", f"job_state = {state}", *more]
    return f"Job Id: {push.external_id}.pbs01\n" + "".join(f"    {line}\n" for line in lines)


def test_pbs_from_submission_to_end(answers: Path) -> None:
    executor = PBS("pbs", folder=str(answers / "jobs"), queue="workq")
    (answers / "qsub.out").write_text("1.pbs01\n")
    job = Job("r", 0, 1, "n", "shop.fold", "[[],{}]", None, {}, 600.0)
    assert executor.submit(Submission(PUSHES[0], job, None)) == "1"
    [said] = calls(answers)
    assert said.endswith("-l select=1:ncpus=1 -l walltime=660")
    script = (answers / "script").read_text()
    assert "segue run-step" in script
    assert "${PBS_JOBID%%.*}" in script

    runs, failed, left_code, follows, unknown, over_time, forced = PUSHES
    jobs = [
        block(runs, "R", "exec_host = node7/0"), block(failed, "F", "Exit_status = 3"),
        block(left_code, "F", "Exit_status = 265"), block(over_time, "F", "Exit_status = -29"),
        block(forced, "F", "Exit_status = 0"), block(Push(IDS[0], ("r", 0, 1), "99"), "R"),
    ]  # fmt: skip
    (answers / "qstat.out").write_text("".join(jobs))
    leave(executor.folder, left_code, code="7")
    leave(executor.folder, follows, begun="99")
    found = {sighting.push_id: sighting for sighting in executor.look(PUSHES)}
    assert calls(answers) == ["qstat -f -x 1 2 3 4 5 6 7"]
    assert found[runs.id] == Sighting(runs.id, Phase.RUNNING, None, "node7")
    assert (found[failed.id].cause, found[failed.id].exit_code) == (Cause.EXIT, 3)
    assert (found[left_code.id].cause, found[left_code.id].exit_code) == (Cause.EXIT, 7)
    assert found[follows.id].held_by == "99"
    assert found[over_time.id].cause is Cause.TIMEOUT
    assert (found[unknown.id].phase, found[forced.id].phase) == (Phase.GONE, Phase.GONE)

    executor.cancel([runs, failed], hard=True)
    assert calls(answers) == ["qstat -f -x 1 2", "qdel -W force 1"]  # only what is alive, and has its name
    assert executor.find([runs, follows, unknown]) == {runs.id: "1", follows.id: "99"}
    assert {stray.external_id for stray in executor.strays()} == {"1", "99"}
    (answers / "qstat.code").write_text("1")
    with pytest.raises(BlindError):
        list(executor.look(PUSHES))


def test_a_disk_is_asked_for_by_the_name_that_the_site_gave_it(answers: Path) -> None:
    job = Job("r", 0, 1, "n", "shop.fold", "[[],{}]", None, {}, 600.0)
    asked = Submission(PUSHES[0], job, '{"resources":{"tmp":"5GiB"}}')
    for kind, made in (("PBS", PBS), ("Grid Engine", GridEngine)):
        with pytest.raises(RefusedError, match=f"{kind} has no name of its own"):
            made("batch", folder=str(answers / "jobs")).submit(asked)
    (answers / "qsub.out").write_text("1.pbs01\n")
    PBS("batch", folder=str(answers / "jobs"), tmp="scratch").submit(asked)
    assert "select=1:ncpus=1:scratch=5120mb" in calls(answers)[0]


def test_lsf_asks_the_history_only_for_what_left_nothing(answers: Path) -> None:
    executor = LSF("lsf", folder=str(answers / "jobs"))
    listed, left, asked, unknown, *_ = PUSHES
    (answers / "bjobs.out").write_text(f"1|EXIT|140|node7|{listed.name}|TERM_RUNLIMIT: job killed|-\n")
    (answers / "bhist.out").write_text(
        f"Job <3>, Job Name <{asked.name}>, User <ada>\nMon Nov 30 12:00:09: Exited with exit code 3.\n"
    )
    leave(executor.folder, left)
    spool.write_outcome(executor.folder / left.name, Outcome("r", 0, 1, Verdict.SUCCEEDED, result="1"))
    found = {sighting.push_id: sighting for sighting in executor.look([listed, left, asked, unknown])}
    assert [said.partition(" -o")[0] for said in calls(answers)] == [
        f"bjobs -a -noheader -u {user()}", "bhist -n 0 -l 3", "bhist -n 0 -l 4"
    ]  # fmt: skip
    assert found[listed.id].cause is Cause.TIMEOUT
    assert (found[left.id].cause, found[left.id].exit_code) == (Cause.EXIT, 0)
    assert (found[asked.id].cause, found[asked.id].exit_code) == (Cause.EXIT, 3)
    assert (found[unknown.id].phase, found[unknown.id].exit_code) == (Phase.GONE, None)
    leave(executor.folder, unknown, code="137")  # a signal ended its command, and no record says more
    [forgotten] = executor.look([unknown])
    assert (forgotten.phase, forgotten.cause, forgotten.exit_code) == (Phase.GONE, Cause.EXIT, 137)
    assert executor.collect(left).outcome is not None
    executor.clean([left])
    assert not (executor.folder / left.name).exists()


def user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
