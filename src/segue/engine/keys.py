"""Keys of runs: which run of a workflow has a key. They have their own rows, so that runs may be partitioned.

Promise: of any number of concurrent starts under one key, one creates a run and the others find it.

Workers of an older release start and delete runs without writing these rows; the unique index on the runs decides
between them and newer workers. `mend_key` corrects a key after such a change.
"""

from __future__ import annotations

from collections.abc import Iterable

from segue.store.protocol import Later, Transaction


def take_keys(tx: Transaction, wanted: Iterable[tuple[str, str, str]]) -> None:
    """Take the (workflow, key, run id) that are free, before the runs are inserted. Waits for concurrent takers."""
    rows = sorted(wanted)  # so that two starts of many keys never wait in a circle
    if rows:
        tx.each("insert_keys", rows)


def release_key(tx: Transaction, workflow: str, key: str, *, heir: str) -> None:
    """Free a key whose run has ended, unless that is the heir itself: then this is a repetition.

    The update of the run decides: it waits for a retry that reopens the run, and for another heir.
    """
    for (run_id,) in tx.all("release_key", workflow=workflow, key=key, heir=heir):
        tx.all("forget_key", workflow=workflow, key=key, run_id=run_id)


def run_of_key(tx: Transaction, workflow: str, key: str) -> Later:
    """Ask for the run that has a key; no row if the key must be mended."""
    return tx.later("run_of_key", workflow=workflow, key=key)


def mend_key(tx: Transaction, workflow: str, key: str) -> None:
    """Free a key whose run is gone, and give it to the run that has it."""
    tx.all("free_key", workflow=workflow, key=key)
    tx.all("adopt_key", workflow=workflow, key=key)
