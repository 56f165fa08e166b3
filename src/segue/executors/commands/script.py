"""The script of a job. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from segue.attempt import spool
from segue.dispatcher.work import RESULT, Work
from segue.executors.commands.system import ASKED_TO_END, NO_FOLDER
from segue.executors.secret_files import secret_lines

JOB_ID = "SEGUE_JOB_ID"
NONE: Mapping[str, Path] = {}

_HEAD = """\
#!/bin/sh
[ -w {folder} ] || exit {no_folder}
{redirect}cd {where} || exit 1
{setup}
export {job_id}={id_word}
"""
# A command runs once, whichever of two jobs with one name begins first.
_BEGIN = """\
if ! (set -C; printf %s "${job_id}" > {begun}) 2> /dev/null; then
    exit {not_mine}
fi
"""
# A signal that announces the end of the job goes to the whole group on some systems, so the child ignores what it does
# not know, and gets SIGTERM from here, also for a signal that came before it was there. `wait` returns at a signal: the
# child may still be there.
_RUN = """\
asked= child=
trap 'asked=1; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null' {signals}
({ignore}exec {run}) &
child=$!
[ -z "$asked" ] || kill -TERM "$child" 2> /dev/null
wait "$child"
code=$?
while kill -0 "$child" 2> /dev/null; do wait "$child"; code=$?; done
"""
# The batch system forgets jobs, so the exit code is left in the folder. That of a command which was asked to end says
# nothing of the command.
_END = """\
if [ -n "$asked" ] && [ "$code" -ne 0 ]; then exit {asked_to_end}; fi
printf %s "$code" > {ended}.part && mv {ended}.part {ended}
"""


def script_of(
    folder: Path, work: Work, *, setup: str, where: str, job_id: str, signals: Sequence[str], redirects: bool,
    secrets: Mapping[str, Path] = NONE,
) -> str:  # fmt: skip
    """The script: `setup`, then the words of the work, and what their end leaves behind."""
    at = {name: shlex.quote(str(folder / name)) for name in (spool.BEGUN, spool.EXIT_CODE, spool.OUTPUT)}
    redirect = f"exec >> {at[spool.OUTPUT]} 2>&1\n" if redirects else ""
    text = _HEAD.format(
        folder=shlex.quote(str(folder)), no_folder=NO_FOLDER, redirect=redirect, where=shlex.quote(where), setup=setup,
        job_id=JOB_ID, id_word=f'"{job_id}"',
    )  # fmt: skip
    text += _variables(folder, work, secrets)
    if work.command is not None:
        if work.cwd is not None and work.image is None:
            text += f"cd {shlex.quote(work.cwd)} || exit 1\n"
        text += _BEGIN.format(job_id=JOB_ID, begun=at[spool.BEGUN], not_mine=spool.NOT_MINE)
    ignored = " ".join(name for name in signals if name not in ("TERM", "INT"))
    ignore = f"trap '' {ignored}; " if ignored else ""
    text += _RUN.format(run=shlex.join(work.words), signals=" ".join(signals), ignore=ignore)
    if work.command is not None:
        text += _END.format(asked_to_end=ASKED_TO_END, ended=at[spool.EXIT_CODE])
    return text + 'exit "$code"\n'


def in_container(work: Work, folder: Path, runtime: Sequence[str]) -> Work:
    """The work of an image as words for a container runtime such as `apptainer exec`. Other work is as it is."""
    if work.image is None:
        return work
    is_file = work.image.endswith(".sif") or "://" in work.image or work.image.startswith("/")
    words = [*runtime, "--bind", str(folder)]
    if work.resources.gpu:
        words.append("--nv")
    if work.cwd is not None:
        words += ["--pwd", work.cwd]
    words.append(work.image if is_file else f"docker://{work.image}")
    return work._replace(words=(*words, *work.words))


def _variables(folder: Path, work: Work, secrets: Mapping[str, Path]) -> str:
    """The lines that set the variables. Secrets are read on the machine, and are in no file of Segue's."""
    lines = []
    values = dict(work.environment)
    if work.command is not None:
        values[RESULT] = str(folder / spool.RESULT)
    for name, value in sorted(values.items()):
        lines.append(f"export {name}={shlex.quote(value)}\n")
    lines += [f"{line}\n" for line in secret_lines(secrets)]
    return "".join(lines)
