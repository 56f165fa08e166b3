"""The words of `sbatch`. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from segue.dispatcher.protocol import RefusedError
from segue.dispatcher.work import Work
from segue.plan.pushed import Resources

OPTIONS = ("account", "partition", "qos", "constraint", "reservation")
GRACE_MINUTES = 1
_MIB = 2**20


def named_words(name: str, output: str, *, array: str | None = None) -> list[str]:
    """The words that differ from job to job."""
    words = [f"--job-name={name}", f"--output={output}"]
    return words if array is None else [*words, f"--array={array}"]


def words_of(work: Work, *, defaults: Mapping[str, Any], environment: Sequence[str]) -> list[str]:
    """The words that jobs of one shape have in common. Raises RefusedError for options that it does not know.

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
        "sbatch", "--parsable", "--no-requeue", "--open-mode=append", f"--export={','.join(environment) or 'NIL'}",
        *_asked(work.resources),
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
