"""Which sessions hold rows of a run: those that have kept a lock for longer than any turn takes."""

from __future__ import annotations

from segue.store.protocol import Row, Transaction


def holders(tx: Transaction, run_id: str) -> list[str]:
    """Descriptions of the sessions that hold rows of this run."""
    return [_described(row) for row in tx.all("holders_of_run", run_id=run_id)]


def what_holds(tx: Transaction, run_id: str) -> tuple[list[str], bool]:
    """The same, and whether changes of this run are still being written in parts."""
    rows = tx.all("what_holds_run", run_id=run_id)
    found = [_described(row) for row in rows if row[0] is not None]
    return found, len(found) < len(rows)


def _described(row: Row) -> str:
    pid, application, user, state, seconds = row
    return (
        f"session {pid} of the database ({application or 'no application name'}, user {user or 'unknown'}, "
        f"{state or 'state unknown'}, in its transaction for {seconds or 0:.0f} s)"
    )
