"""Deletes payloads that no run uses any more, first in the payload store, then in the database.

Promises: if a process dies in between, the next sweep deletes the same payloads again, which is no error; a store that
cannot delete, or a process without a payload store, leaves all of them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from segue.engine.engine import Engine
from segue.engine.payload_uses import DAY_SECONDS, GRACE_SECONDS, forget_payloads, look_for_unused, never_used
from segue.payloads.protocol import DeletingStore, ListingStore

AT_ONCE = 500


class Swept(NamedTuple):
    """What a sweep has done."""

    looked_at: int  # payloads, the deleted ones included; 0: there is nothing to do now
    deleted: int


def sweep_payloads(engine: Engine) -> int:
    """Look at a batch of payloads, and delete those that no run uses. Returns how many were looked at."""
    return sweep_batch(engine).looked_at


def sweep_batch(engine: Engine, *, grace_seconds: float = GRACE_SECONDS) -> Swept:
    """The same, with another grace."""
    store = _store(engine)
    if not isinstance(store, DeletingStore):
        return Swept(0, 0)
    kept, unused = engine.act(look_for_unused, grace_seconds=grace_seconds)
    if not unused:
        return Swept(kept, 0)
    store.delete(unused)
    deleted = engine.act(forget_payloads, unused)
    return Swept(kept + deleted, deleted)


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
