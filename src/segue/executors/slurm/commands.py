"""Slurm's programs, each with a time limit: while the controller is away, they wait for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from segue.dispatcher.protocol import BlindError

SECONDS = 20.0


class Answer(NamedTuple):
    """What a program said. `code` is None if it was ended, because its time was over."""

    code: int | None
    out: str
    err: str


def run(words: Sequence[str], *, environment: Mapping[str, str], script: str | None = None, seconds: float) -> Answer:
    """Run a program. Raises OSError if it cannot be started."""
    try:
        done = subprocess.run(
            words, input=script, capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
            env={**os.environ, **environment},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(None, "", f"{words[0]} did not answer within {seconds:g} s")
    return Answer(done.returncode, done.stdout, done.stderr.strip())


def ask(words: Sequence[str], *, environment: Mapping[str, str], seconds: float) -> Answer:
    """Run a program that only asks, or may be repeated. Raises BlindError if it could not ask."""
    try:
        answer = run(words, environment=environment, seconds=seconds)
    except OSError as error:
        raise BlindError(f"{words[0]} cannot be run: {error}. Is Slurm installed on this machine?") from error
    if answer.code is None:
        raise BlindError(answer.err)
    return answer
