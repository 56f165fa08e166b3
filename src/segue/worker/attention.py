"""What a worker heeds besides its own work: attempts that are to end, and attempts whose output is read meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segue.engine.turn_request import TurnRequest, TurnResult
from segue.engine.watching import Printed
from segue.model import Attempt
from segue.worker.pool import Pool

PRINTED_SECONDS = 1.0
"""So often the output of an attempt is written at most."""


class Attention:
    """Ends attempts, and reads what watched ones print.

    Example::

        request = TurnRequest(cancels=True, printed=attention.printed())
        attention.heed(request, engine.turn(identity, request))
    """

    def __init__(self, pool: Pool, monotonic: Callable[[], float]) -> None:
        self._pool = pool
        self._monotonic = monotonic
        self._watched: dict[Attempt, str | None] = {}  # what was written last; None: nothing yet
        self._read_at = 0.0

    def heed(self, request: TurnRequest, result: TurnResult) -> None:
        """A turn succeeded: do what its look says."""
        for run_id, step, _ in result.cancels:
            self._pool.cancel(run_id, step)
        for printed in request.printed:
            if printed.attempt in self._watched:
                self._watched[printed.attempt] = printed.text
        if request.cancels and (result.watched or self._watched):
            self._watched = {attempt: self._watched.get(attempt) for attempt in result.watched}

    def printed(self) -> Sequence[Printed]:
        """What watched attempts have printed, if it is new, and it is time."""
        if not self._watched:
            return ()
        now = self._monotonic()
        if now - self._read_at < PRINTED_SECONDS:
            return ()
        self._read_at = now
        found = []
        for attempt, before in self._watched.items():
            text = self._pool.output_of(attempt[0], attempt[1])
            if text is not None and text != before:
                found.append(Printed(attempt, text))
        return found
