"""Steps adrift: they run under the lease of a node whose worker does not have them.

Celery has put their messages back into the queue, or their end could not be recorded. While the node lives, no other
worker would take them: they turn their messages away. So the node gives them up as lost, and they are sent again.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from segue.errors import PASSING_ERRORS
from segue.model import WORKER_LOST, Attempt, ErrorInfo, Outcome, Verdict
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")


class Adrift:
    """What a node knows of them from look to look."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._suspects: frozenset[Attempt] = frozenset()  # adrift at the last look: their ends may be under way

    def mine(self, worker_id: str) -> frozenset[Attempt]:
        """What runs under the lease of a node. It is read before the worker is asked, which hears of begins first."""
        with self._door.engine.reading() as tx:
            rows = tx.all("steps_of_worker", worker_id=worker_id)
        return frozenset((str(run_id), step, attempt) for run_id, step, attempt in rows)

    def give_up(self, mine: AbstractSet[Attempt], known: AbstractSet[Attempt]) -> int:
        """Give up those that the worker does not have now, and had not at the last look; returns how many."""
        found = frozenset(mine - known)
        lost, self._suspects = sorted(found & self._suspects), found
        for attempt in lost:
            logger.warning("Attempt %s is adrift: its worker does not have it. It is sent again", attempt)
            text = "its worker does not have it any more: Celery gave it back, or its end could not be recorded"
            outcome = Outcome(*attempt, Verdict.LOST, error=ErrorInfo(WORKER_LOST, text))
            try:
                self._door.exchange([outcome], freed=1)
            except PASSING_ERRORS:
                raise
            except Exception:  # the others are given up nevertheless
                logger.exception("Attempt %s cannot be given up", attempt)
        return len(lost)
