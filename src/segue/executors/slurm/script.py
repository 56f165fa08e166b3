"""The script of a job, or of an array of jobs. Pure.

where, setup    as the executor was given them
here            the folder of the attempt in the spool
one's own       variables, secrets, folder and words of the attempt; an array reads them from a file in the spool
the end         `segue run-step`, which takes the place of the shell; or a command, which is awaited
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from segue.attempt import spool
from segue.dispatcher.work import RESULT, Work
from segue.executors.secret_files import secret_lines

PLACE = '"$SLURM_ARRAY_TASK_ID"'

_RUN_STEP = """\
exec "$@"
"""

# A command runs once, whichever of two jobs with one name begins first; the other one says nothing, because both may
# write into one file. Its exit code is left in the spool, because the
# cluster forgets jobs. A signal that ends the job is passed on to the command, and its end is awaited.
_COMMAND = f"""\
who=$SLURM_JOB_ID
if [ -n "$SLURM_ARRAY_TASK_ID" ]; then who="$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"; fi
if ! (set -C; printf %s "$who" > "$here/{spool.BEGUN}") 2> /dev/null; then
    exit {spool.NOT_MINE}
fi
asked= child=
trap 'asked=1; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null' TERM INT
"$@" &
child=$!
[ -z "$asked" ] || kill -TERM "$child" 2> /dev/null
wait "$child"
code=$?
while kill -0 "$child" 2> /dev/null; do wait "$child"; code=$?; done
printf %s "$code" > "$here/{spool.EXIT_CODE}.part" && mv "$here/{spool.EXIT_CODE}.part" "$here/{spool.EXIT_CODE}"
exit "$code"
"""


def script_of(folder: Path, own: str, *, is_command: bool, setup: str, where: str) -> str:
    """The script of one job; `own` is what is its own (`own_part`)."""
    here = f"here={shlex.quote(str(folder))}\n"
    return f"{_head(setup, where)}{here}{_MAKE}{own}{_end(is_command)}"


def array_script_of(batch: Path, parts: Path, *, is_command: bool, setup: str, where: str) -> str:
    """The script of an array; `parts` is the file with what is each job's own (`parts_of`)."""
    here = f"here={shlex.quote(str(batch))}/{PLACE}\n"
    return f"{_head(setup, where)}{here}{_MAKE}. {shlex.quote(str(parts))}\n{_end(is_command)}"


def parts_of(parts: Mapping[int, str]) -> str:
    """What is each job's own, by its place."""
    cases = "".join(f"{place})\n{own};;\n" for place, own in parts.items())
    return f'case {PLACE} in\n{cases}*) echo "no job has place {PLACE[1:-1]} here"; exit 1;;\nesac\n'


def own_part(work: Work, *, secrets: Mapping[str, Path], runner: Sequence[str]) -> str:
    """What is the attempt's own: its variables and words, which may use `$here`.

    The values of secrets are read on the machine that runs it. `runner` runs commands in an image.
    """
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(work.environment.items())]
    lines += secret_lines(secrets)
    if work.command is None:
        return "\n".join([*lines, f'set -- {shlex.join(work.words)} "$here"', ""])
    lines.append(f'export {RESULT}="$here/{spool.RESULT}"')
    words = shlex.join(work.words)
    if work.image is not None:
        inside = "" if work.cwd is None else f"--pwd {shlex.quote(work.cwd)} "
        words = f'{shlex.join(runner)} --bind "$here" {inside}{shlex.quote(image_of(work.image))} {words}'
    elif work.cwd is not None:
        lines.append(f"cd {shlex.quote(work.cwd)} || exit 1")
    return "\n".join([*lines, f"set -- {words}", ""])


def image_of(image: str) -> str:
    """The image as Apptainer knows it: a file, an address, or a name in a registry."""
    if image.startswith(("/", "./")) or "://" in image:
        return image
    return f"docker://{image}"


_MAKE = '[ -d "$here" ] || mkdir -m 700 "$here" || exit 1\n'


def _head(setup: str, where: str) -> str:
    return f"#!/bin/sh\ncd {shlex.quote(where)} || exit 1\n{setup}\n"


def _end(is_command: bool) -> str:
    return _COMMAND if is_command else _RUN_STEP
