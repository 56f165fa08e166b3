"""Deletes payloads that no run uses any more, first in the payload store, then in the database.

Promises: if a process dies in between, the next sweep deletes the same payloads again, which is no error; a store that
cannot delete, or a process without a payload store, leaves all of them.
"""

from __future__ import annotations

from datetime import timedelta

from segue.engine.engine import Engine
from segue.engine.payload_uses import DAY_SECONDS, GRACE_SECONDS, forget_payloads, never_used, take_unused
from segue.payloads.protocol import DeletingStore, ListingStore

AT_ONCE = 500


def sweep_payloads(engine: Engine, *, grace_seconds: float = GRACE_SECONDS) -> int:
    """Delete a batch. Returns how many were deleted."""
    store = _store(engine)
    if not isinstance(store, DeletingStore):
        return 0
    references = engine.act(take_unused, grace_seconds=grace_seconds)
    if not references:
        return 0
    store.delete(references)
    return engine.act(forget_payloads, references)


def _store(engine: Engine) -> object:
    return None if engine.payloads is None else engine.payloads.store


def find_strays(engine: Engine, *, grace_seconds: float = GRACE_SECONDS) -> list[str]:
    """The references of what lies in the store for longer than a process can take to commit, and no run has used.

    A process stored them and died before its commit. Other databases must not use the same folder or bucket.
    """
    store = _store(engine)
    if not isinstance(store, ListingStore):
        return []
    found = list(store.stored_before(engine.store.now() - timedelta(seconds=DAY_SECONDS + grace_seconds)))
    strays: list[str] = []
    for first in range(0, len(found), AT_ONCE):
        with engine.reading() as tx:
            strays += never_used(tx, found[first : first + AT_ONCE])
    return strays


def delete_strays(engine: Engine, references: list[str]) -> int:
    """Delete those that `find_strays` found. Returns how many; 0 if the store cannot delete."""
    store = _store(engine)
    if not isinstance(store, DeletingStore):
        return 0
    for first in range(0, len(references), AT_ONCE):
        store.delete(references[first : first + AT_ONCE])
    return len(references)
