"""Which sessions hold rows of a run: those that have kept a lock for longer than any turn takes."""

from __future__ import annotations

from segue.store.protocol import Transaction


def holders(tx: Transaction, run_id: str) -> list[str]:
    """Descriptions of the sessions that hold rows of this run."""
    return [
        f"session {pid} of the database ({application or 'no application name'}, user {user or 'unknown'}, "
        f"{state or 'state unknown'}, in its transaction for {seconds or 0:.0f} s)"
        for pid, application, user, state, seconds in tx.all("holders_of_run", run_id=run_id)
    ]
