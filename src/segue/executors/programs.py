"""The programs of batch systems, each with a time limit: while their master is away, some wait for it.

They get the variables that are named, and no others. A site may be set up to give jobs the whole environment of who
submits them; then no password of the dispatcher's may be in it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from segue.dispatcher.protocol import BlindError

SECONDS = 20.0
ALWAYS = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LD_LIBRARY_PATH", "KRB5CCNAME", "TMPDIR")


class Answer(NamedTuple):
    """What a program said. `code` is None if it was ended, because its time was over."""

    code: int | None
    out: str
    err: str

    @property
    def is_whole(self) -> bool:
        """Whether the program ended by itself, so that nothing comes after what it said."""
        return self.code is not None and self.code >= 0

    @property
    def said(self) -> str:
        """Its words for people, on one line."""
        return " ".join((self.err or self.out).split()) or f"exit code {self.code}"


class Programs:
    """Runs programs with the variables `names`, those that begin with one of `prefixes`, and `settings`."""

    def __init__(
        self, title: str, *, names: Sequence[str], prefixes: tuple[str, ...], settings: Mapping[str, str],
        seconds: float,
    ) -> None:  # fmt: skip
        self._title = title
        self._names = frozenset((*ALWAYS, *names))
        self._prefixes = prefixes
        self._settings = dict(settings)
        self._seconds = seconds

    def environment(self) -> dict[str, str]:
        """What a program gets."""
        kept = {
            name: value for name, value in os.environ.items() if name in self._names or name.startswith(self._prefixes)
        }  # fmt: skip
        return {**kept, **self._settings}

    def run(self, words: Sequence[str], *, given: str | None = None) -> Answer:
        """Run a program. Raises OSError if it cannot be started."""
        try:
            done = subprocess.run(
                words, input=given or "", capture_output=True, text=True, errors="replace", timeout=self._seconds,
                check=False, env=self.environment(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Answer(None, "", f"{words[0]} did not answer within {self._seconds:g} s")
        return Answer(done.returncode, done.stdout, done.stderr.strip())

    def ask(self, words: Sequence[str]) -> Answer:
        """Run a program that only asks, or may be repeated. Raises BlindError if it could not ask."""
        try:
            answer = self.run(words)
        except OSError as error:
            raise BlindError(f"{words[0]} cannot be run: {error}. Is {self._title} installed here?") from error
        if answer.code is None:
            raise BlindError(answer.err)
        return answer
