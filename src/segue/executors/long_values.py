"""Long arguments and results of steps at executors, which lie in the payload store if there is one."""

from __future__ import annotations

from segue.authoring.filling import no_store
from segue.errors import PayloadError
from segue.observing.harmless_log import get_logger
from segue.payloads.keeping import Payloads
from segue.payloads.moving import moved
from segue.plan.graph import Plan
from segue.plan.payload_frames import PayloadRef

logger = get_logger("segue.executors")


class LongValues:
    """What one executor does with them. Rows have references; messages carry the values."""

    def __init__(self, executor: str, payloads: Payloads | None) -> None:
        self._executor = executor
        self.payloads = payloads

    def fetch(self, payload: PayloadRef) -> str:
        """The text of a value in the payload store. Raises PayloadError."""
        return no_store(payload) if self.payloads is None else self.payloads.text_of(payload)

    def of_plan(self, plan: Plan) -> Plan:
        """The plan with references to its long arguments. Raises PayloadUnavailableError."""
        return moved(plan, self.payloads, (self._executor,))

    def of_result(self, result: str) -> str:
        """A result, or the reference to it if it is long and the payload store takes it."""
        if self.payloads is None:
            return result
        try:
            return self.payloads.kept(result, most_inline=len(result))
        except PayloadError:
            logger.exception("A result stays in the database.")
            return result
