"""Side effects that can be counted: each body writes a line, and each result names the body that made it.

A result is a *token*, `word~random`, made by one execution of one body. A line is "number word token received", so the
file tells for each run which bodies ran, how often, and with whose results. If one success of a step was recorded, all
who used its result name the same token; if a step was lost, its line is missing; if a result went astray, a line names
a parent that it should not.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


def write_line(ledger: Path, number: int, word: str, received: Any) -> str:
    """Write the line of a body; returns its token."""
    token = f"{word}~{uuid.uuid4().hex[:12]}"
    line = json.dumps([number, word, token, tokens_in(received)]) + "\n"
    with ledger.open("ab", buffering=0) as file:
        file.write(line.encode())
    return token


def tokens_in(received: Any) -> list[str]:
    """The tokens in a result, or in a list of results."""
    if isinstance(received, (list, tuple)):
        return [token for each in received for token in tokens_in(each)]
    return [] if received is None else [received]


class Line(NamedTuple):
    """One execution of a body."""

    word: str
    token: str
    received: tuple[str, ...]


class Tallied(NamedTuple):
    """What can be started, and what its lines must be."""

    work: Any
    parents: dict[str, tuple[str, ...]]  # word → words whose results it receives, in order
    last: tuple[str, ...] = ()  # words of the result
    never: frozenset[str] = frozenset()  # words that must not run
    fails: bool = False


def read_ledger(path: Path) -> dict[int, list[Line]]:
    """The lines of a ledger, by run."""
    found: dict[int, list[Line]] = {}
    for text in path.read_text().splitlines() if path.exists() else []:
        number, word, token, received = json.loads(text)
        found.setdefault(number, []).append(Line(word, token, tuple(received)))
    return found


def wrongs(tallied: Tallied, lines: Sequence[Line], result: Any, *, once: bool = False) -> list[str]:
    """What is wrong with the lines of a run that has ended. With `once`, each body must have run once only."""
    wrong: list[str] = []
    by_word: dict[str, list[Line]] = {}
    for line in lines:
        by_word.setdefault(line.word, []).append(line)
    wrong += [f"{word} is lost" for word in tallied.parents.keys() - by_word.keys()]
    wrong += [
        f"{word} ran, and should not"
        for word in by_word.keys() - tallied.parents.keys() | by_word.keys() & tallied.never
    ]
    used: dict[str, set[str]] = {}
    for tokens in [line.received for line in lines] + [tuple(tokens_in(result))]:
        for token in tokens:
            used.setdefault(token.partition("~")[0], set()).add(token)
    for word, tokens in used.items():
        made = {line.token for line in by_word.get(word, ())}
        if len(tokens) > 1:
            wrong.append(f"{word} has {len(tokens)} results")
        if not tokens <= made:
            wrong.append(f"{word} has a result that no body returned")
    for word, its_lines in by_word.items():
        for line in its_lines:
            parents = tuple(token.partition("~")[0] for token in line.received)
            if word in tallied.parents and parents != tallied.parents[word]:
                wrong.append(f"{word} received {parents}")
        if once and len(its_lines) > 1:
            wrong.append(f"{word} ran {len(its_lines)} times")
    words = tuple(token.partition("~")[0] for token in tokens_in(result))
    if not tallied.fails and words != tallied.last:
        wrong.append(f"the result is of {words}")
    return wrong
