"""Unfinished work of an act that is too large for one transaction: recorded with the act, and done in parts.

An end may set off a hundred thousand others: a step fails, and all steps below it are skipped. A transaction handles as
many of them as keep the run locked for a fraction of a second. It records the rest in `segue_unfinished`, so either
both are committed or neither is. The process that set it off continues immediately, in further transactions; if it
dies, any worker or leader continues (`parts`).

Invariant: unfinished work always concerns steps that are `blocked`, or a run that waits for nothing more. If a part
finds them in another state, because the run was cancelled meanwhile, it leaves them alone. An act that takes back the
ends of steps has unfinished work done first (`refuse_unfinished`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from segue.engine.act import Act
from segue.store.protocol import Finish, Follow, Transaction

PART = 10_000
"""How much one transaction does, in the cost of writing one row; a tenth or a fifth of a second."""

PART_SECONDS, LEAST = 0.25, 1000
"""How long it continues if that takes longer, and how much it does in any case: small graphs are settled in one go."""

ROUND_COST, FOLLOW_COST = 20, 10
"""The cost of a statement besides its rows, and of reading one join or scope."""

AT_ONCE = 1000
"""How much unfinished work is written and read as one row."""


class Write(NamedTuple):
    """A statement to send, for each of these rows or with these parameters."""

    run_id: str
    statement: str
    rows: list[list[Any]] | None
    parameters: dict[str, Any]


Item = Finish | Follow | Write


class HalfFork(NamedTuple):
    """A fork of a large run: its steps are copied, and those that start again must be computed (`reopening.fork`)."""

    run_id: str  # the new run
    step: int  # the one it was forked at
    limit: tuple[str, str] | None  # of the run: its name and key


class _Row(msgspec.Struct, array_like=True):
    finishes: list[Finish]
    follows: list[Follow]
    writes: list[Write] = []
    forks: list[HalfFork] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Row).decode


class UnfinishedRun(Exception):  # noqa: N818 - it names the run to finish first, and never leaves the engine
    """A run has unfinished work that must be done before the current act."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


class ForkLeft(Exception):  # noqa: N818 - see above
    """The next unfinished work of a run is to compute a fork, which is not done in a transaction that writes."""

    def __init__(self, fork: HalfFork) -> None:
        super().__init__(fork.run_id)
        self.fork = fork


def leave(act: Act, items: Sequence[Item | HalfFork]) -> None:
    """Record unfinished work; the caller holds the locks of the runs."""
    by_run: dict[str, list[Item | HalfFork]] = {}
    for item in items:
        by_run.setdefault(item.run_id, []).append(item)
    for run_id, mine in sorted(by_run.items()):
        for portion in _portions(mine):
            act.tx.later("leave_unfinished", run_id=run_id, items=_text(portion))
        act.unfinished.append(run_id)


def take(tx: Transaction, run_id: str) -> list[Item]:
    """Take the next unfinished work of a run, for the caller to do now; the caller holds its lock.

    Raises ForkLeft if it is to compute a fork: `take_fork` takes that once it is computed.
    """
    for (text,) in tx.all("take_unfinished", run_id=run_id):
        row = _decode(text)
        for fork in row.forks:
            raise ForkLeft(fork)
        return [*row.writes, *row.finishes, *row.follows]
    return []


def take_fork(tx: Transaction, run_id: str) -> bool:
    """Take the fork that was computed; False if another process has. The caller holds the new run's lock."""
    found = tx.all("next_unfinished", run_id=run_id)
    if not found or not _decode(found[0][0]).forks:
        return False
    tx.all("take_unfinished", run_id=run_id)
    return True


def refuse_unfinished(tx: Transaction, run_id: str) -> None:
    """Raise UnfinishedRun if a run has unfinished work, so that it is done first."""
    if tx.all("is_unfinished", run_id=run_id):
        raise UnfinishedRun(run_id)


def unfinished_runs(tx: Transaction, limit: int) -> list[str]:
    """Runs with unfinished work."""
    return [str(row[0]) for row in tx.all("unfinished_runs", limit=limit)]


def _portions(items: Sequence[Item | HalfFork]) -> Iterator[Sequence[Item | HalfFork]]:
    """Items that are done together; a batch that is to be written is large enough alone."""
    together: list[Item | HalfFork] = []
    for item in items:
        is_batch = isinstance(item, Write | HalfFork)
        if together and (is_batch or len(together) >= AT_ONCE):
            yield together
            together = []
        if is_batch:
            yield [item]
        else:
            together.append(item)
    if together:
        yield together


def _text(items: Sequence[Item | HalfFork]) -> str:
    finishes = [item for item in items if isinstance(item, Finish)]
    follows = [item for item in items if isinstance(item, Follow)]
    writes = [item for item in items if isinstance(item, Write)]
    return _encode(_Row(finishes, follows, writes, [item for item in items if isinstance(item, HalfFork)])).decode()
