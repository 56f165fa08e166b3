"""The payloads of a database: how many there are, and the deletion of those that no run uses."""

from __future__ import annotations

from datetime import timedelta

from segue.client.given import checked, guarded, number
from segue.engine.engine import Engine
from segue.engine.payload_uses import GRACE_SECONDS, PayloadCounts, count_payloads
from segue.errors import ConfigError
from segue.payloads.address import STORE_VARIABLE
from segue.scheduler.payload_sweep import delete_strays, find_strays, sweep_batch

__all__ = ["PayloadCounts", "StoredPayloads"]

References = list[str]


@guarded
class StoredPayloads:
    """The payloads that runs use. The processes that do the chores delete unused ones; this does it now.

    A payload is deleted when the last run that used it was deleted, but at the earliest two days after it was stored:
    one day for others that store the same contents, and one for outcomes that wait for the database. Example::

        print(segue.payloads.count())
        segue.payloads.sweep()
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def count(self) -> PayloadCounts:
        """How many payloads the database knows, their bytes before compression, and how many no run uses any more."""
        with self._engine.reading() as tx:
            return count_payloads(tx)

    def sweep(self, *, grace: timedelta | float = GRACE_SECONDS) -> int:
        """Delete payloads that no run uses any more. Returns how many.

        `grace` (a timedelta or seconds) is the second of the two days. Raises ConfigError if there is no store here.
        """
        seconds = self._seconds("sweep", grace)
        total = 0
        while (swept := sweep_batch(self._engine, grace_seconds=seconds)).looked_at:
            total += swept.deleted
        return total

    def strays(self, *, grace: timedelta | float = GRACE_SECONDS) -> References:
        """The references of payloads in the store that no run has ever used: their process died before its commit.

        Lists the whole store. If another database uses the same folder or bucket, its payloads are among them.
        """
        return find_strays(self._engine, grace_seconds=self._seconds("strays", grace))

    def delete_strays(self, references: References) -> int:
        """Delete what `strays` returned, after a person has looked at it. Returns how many."""
        self._seconds("delete_strays", 0.0)
        return delete_strays(self._engine, references)

    def _seconds(self, method: str, grace: timedelta | float) -> float:
        if self._engine.payloads is None:
            raise ConfigError(
                f"StoredPayloads.{method} needs the payload store. Give it: Segue(url, payloads=...), or set "
                f"{STORE_VARIABLE}."
            )
        seconds = grace.total_seconds() if isinstance(grace, timedelta) else grace
        seconds = float(checked(f"StoredPayloads.{method}", "grace", seconds, number))
        if seconds < 0:
            raise ConfigError(f"StoredPayloads.{method}: grace={seconds:g} is less than 0. Give seconds, 0 or more.")
        return seconds
