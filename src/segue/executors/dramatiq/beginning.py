"""Begins of attempts, in as few exchanges with the database as can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.engine.executing import begin_plainly, begin_steps
from segue.errors import StoreConflictError, StoreUnavailableError
from segue.model import Attempt
from segue.store.protocol import Later


def begin_all(
    engine: Engine, attempts: Iterable[Attempt], *, worker_id: str, plainly: Collection[Attempt] | None = None
) -> set[Attempt]:  # fmt: skip
    """Begin those of these attempts that may begin, and return them. A repeated call returns the same.

    `plainly`: what `begin_within` has begun of them.
    """
    wanted = sorted(set(attempts))
    begun = _begin_plainly(engine, wanted, worker_id) if plainly is None else set(plainly)
    others = [attempt for attempt in wanted if attempt not in begun]
    return begun | set(engine.act(begin_steps, others, worker_id=worker_id)) if others else begun


def begin_within(act: Act, attempts: Iterable[Attempt], *, worker_id: str) -> set[Attempt]:
    """Begin those whose runs go on as usual, and return them."""
    return _begun([(each, begin_plainly(act, each, worker_id=worker_id)) for each in sorted(set(attempts))])


def _begin_plainly(engine: Engine, attempts: Sequence[Attempt], worker_id: str) -> set[Attempt]:
    """The same in a transaction. Where the commit can travel along, it is one exchange with the server."""
    if not engine.store.sends_commit_along:
        with engine.store.unsynced():  # if the power fails, the step is sent again, as after any loss of its process
            return engine.act(begin_within, attempts, worker_id=worker_id)
    try:
        with engine.store.transaction() as tx:
            act = engine.watch.begin(tx, engine.store.now())
            asked = [(each, begin_plainly(act, each, worker_id=worker_id)) for each in attempts]
        return _begun(asked)
    except (StoreUnavailableError, StoreConflictError):  # then they are begun one by one
        return set()


def _begun(asked: list[tuple[Attempt, Later | None]]) -> set[Attempt]:
    return {attempt for attempt, found in asked if found is not None and found.rows()}
