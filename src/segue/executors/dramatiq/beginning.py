"""Begins of attempts, in as few exchanges with the database as can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.engine.executing import begin_plainly, begin_steps
from segue.errors import StoreConflictError, StoreUnavailableError
from segue.model import Attempt
from segue.store.protocol import Later


def begin_all(engine: Engine, attempts: Iterable[Attempt], *, worker_id: str) -> set[Attempt]:
    """Begin those of these attempts that may begin, and return them. A repeated call returns the same."""
    wanted = sorted(set(attempts))
    begun = _begin_plainly(engine, wanted, worker_id)
    others = [attempt for attempt in wanted if attempt not in begun]
    return begun | set(engine.act(begin_steps, others, worker_id=worker_id)) if others else begun


def _begin_plainly(engine: Engine, attempts: Sequence[Attempt], worker_id: str) -> set[Attempt]:
    """Begin those whose runs go on as usual. Where the commit can travel along, it is one exchange with the server."""

    def ask(act: Act) -> list[tuple[Attempt, Later | None]]:
        return [(attempt, begin_plainly(act, attempt, worker_id=worker_id)) for attempt in attempts]

    def begun(asked: list[tuple[Attempt, Later | None]]) -> set[Attempt]:
        return {attempt for attempt, found in asked if found is not None and found.rows()}

    if not engine.store.sends_commit_along:
        return engine.act(lambda act: begun(ask(act)))
    try:
        with engine.store.transaction() as tx:
            asked = ask(engine.watch.begin(tx, engine.store.now()))
        return begun(asked)
    except (StoreUnavailableError, StoreConflictError):  # then they are begun one by one
        return set()
