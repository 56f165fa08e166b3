"""The script of a job, and the words of the `sbatch` that submits it. Pure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segue.attempt import spool
from segue.dispatcher.protocol import RefusedError
from segue.plan.pushed import PushSpec, Resources

OPTIONS = ("account", "partition", "qos", "constraint", "reservation")
GRACE_MINUTES = 1
_MIB = 2**20


def script_of(folder: Path, *, python: str, setup: str, where: str) -> str:
    """The script: `setup`, then `segue run-step`. It takes the place of the shell, so that signals reach it."""
    run = shlex.join([python, "-m", "segue", "run-step", str(folder)])
    return f"#!/bin/sh\ncd {shlex.quote(where)} || exit 1\n{setup}\nexec {run}\n"


def words_of(
    name: str, folder: Path, spec: PushSpec, *, defaults: dict[str, Any], timeout: float | None,
    environment: Sequence[str],
) -> list[str]:  # fmt: skip
    """The words of `sbatch`. Raises RefusedError for options that it does not know.

    Slurm's own requeue is off: one attempt must not run twice under one number. Of the environment only what is named
    goes along, so that no password of the dispatcher's does.
    """
    options = {**defaults, **spec.options}
    extra = options.pop("sbatch", [])
    unknown = sorted(options.keys() - set(OPTIONS))
    if unknown or not (isinstance(extra, list) and all(isinstance(word, str) for word in extra)):
        what = f"unknown options {', '.join(unknown)}" if unknown else "sbatch= is not a list of texts"
        raise RefusedError(f"push= has {what}; there are {', '.join(OPTIONS)} and sbatch=['--word=value', ...]")
    words = [
        "sbatch", "--parsable", "--no-requeue", f"--job-name={name}", f"--output={folder / spool.OUTPUT}",
        "--open-mode=append", f"--export={','.join(environment) or 'NIL'}", *_asked(spec.resources),
    ]  # fmt: skip
    words += [f"--{option}={options[option]}" for option in OPTIONS if options.get(option) is not None]
    if timeout is not None:
        words.append(f"--time={math.ceil(timeout / 60) + GRACE_MINUTES}")  # later than Segue's own, which says more
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
