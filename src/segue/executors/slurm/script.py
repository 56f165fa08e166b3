"""The script of a job, and the words of the `sbatch` that submits it. Pure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segue.attempt import spool
from segue.dispatcher.protocol import RefusedError
from segue.dispatcher.work import RESULT, Work
from segue.plan.pushed import Resources

OPTIONS = ("account", "partition", "qos", "constraint", "reservation")
GRACE_MINUTES = 1
_MIB = 2**20


# A command runs once, whichever of two jobs with one name begins first. Its exit code is left in the spool, because the
# cluster forgets jobs. A signal that ends the job is passed on to the command, and its end is awaited.
_COMMAND = """\
if ! (set -C; printf %s "$SLURM_JOB_ID" > {begun}) 2> /dev/null; then
    echo "this attempt has begun already"
    exit {not_mine}
fi
{run} &
child=$!
trap 'kill -TERM "$child" 2> /dev/null' TERM INT
wait "$child"
code=$?
while kill -0 "$child" 2> /dev/null; do wait "$child"; code=$?; done
printf %s "$code" > {ended}.part && mv {ended}.part {ended}
exit "$code"
"""


def script_of(folder: Path, work: Work, *, setup: str, where: str) -> str:
    """The script: `setup`, then the words. `segue run-step` takes the place of the shell, so that signals reach it.

    Raises RefusedError for what jobs of Slurm do not have.
    """
    if work.image is not None or work.secrets:
        what = "images" if work.image is not None else "secrets to look up"
        raise RefusedError(f"jobs of Slurm have no {what} here; write shell(..., executor=) and let `setup` prepare it")
    names = {**work.environment, **({} if work.command is None else {RESULT: str(folder / spool.RESULT)})}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(names.items()))
    run = shlex.join(work.words)
    head = f"#!/bin/sh\ncd {shlex.quote(where)} || exit 1\n{setup}\n{exports}"
    if work.command is None:
        return f"{head}exec {run}\n"
    if work.cwd is not None:
        head += f"cd {shlex.quote(work.cwd)} || exit 1\n"
    begun, ended = (shlex.quote(str(folder / name)) for name in (spool.BEGUN, spool.EXIT_CODE))
    return head + _COMMAND.format(run=run, begun=begun, ended=ended, not_mine=spool.NOT_MINE)


def words_of(
    name: str, folder: Path, work: Work, *, defaults: dict[str, Any], environment: Sequence[str],
) -> list[str]:  # fmt: skip
    """The words of `sbatch`. Raises RefusedError for options that it does not know.

    Slurm's own requeue is off: one attempt must not run twice under one number. Of the environment only what is named
    goes along, so that no password of the dispatcher's does.
    """
    options = {**defaults, **work.options}
    extra = options.pop("sbatch", [])
    unknown = sorted(options.keys() - set(OPTIONS))
    if unknown or not (isinstance(extra, list) and all(isinstance(word, str) for word in extra)):
        what = f"unknown options {', '.join(unknown)}" if unknown else "sbatch= is not a list of texts"
        raise RefusedError(f"push= has {what}; there are {', '.join(OPTIONS)} and sbatch=['--word=value', ...]")
    words = [
        "sbatch", "--parsable", "--no-requeue", f"--job-name={name}", f"--output={folder / spool.OUTPUT}",
        "--open-mode=append", f"--export={','.join(environment) or 'NIL'}", *_asked(work.resources),
    ]  # fmt: skip
    words += [f"--{option}={options[option]}" for option in OPTIONS if options.get(option) is not None]
    if work.timeout is not None:
        later = GRACE_MINUTES if work.command is None else 0  # than Segue's own limit, which says more
        words.append(f"--time={math.ceil(work.timeout / 60) + later}")
    return [*words, *extra]


def _asked(resources: Resources) -> list[str]:
    words = []
    if resources.cpu is not None:
        words.append(f"--cpus-per-task={resources.cpu}")
    if resources.memory_bytes is not None:
        words.append(f"--mem={math.ceil(resources.memory_bytes / _MIB)}M")
    if resources.tmp_bytes is not None:
        words.append(f"--tmp={math.ceil(resources.tmp_bytes / _MIB)}M")
    if resources.gpu:
        kind = f"{resources.gpu_type}:" if resources.gpu_type else ""
        words.append(f"--gres=gpu:{kind}{resources.gpu}")
    return words
