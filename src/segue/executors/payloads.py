"""Values of steps at executors that lie in a payload store: rows refer to them, and messages carry them."""

from __future__ import annotations

from segue.authoring.filling import Fetch, no_store
from segue.errors import PayloadError
from segue.observing.harmless_log import get_logger
from segue.payloads.keeping import Payloads
from segue.payloads.moving import moved
from segue.plan.graph import Plan

logger = get_logger("segue.executors")


def fetch_of(payloads: Payloads | None) -> Fetch:
    """Gives the text of a value in the store. It raises PayloadError."""
    return no_store if payloads is None else payloads.text_of


def with_references(plan: Plan, payloads: Payloads | None, executor: str) -> Plan:
    """The plan with references to the long arguments of an executor's steps. Raises PayloadUnavailableError."""
    return moved(plan, payloads, (executor,))


def placed(payloads: Payloads | None, result: str) -> str:
    """A result, or the reference to it if it is long and there is a payload store that takes it."""
    if payloads is None:
        return result
    try:
        return payloads.kept(result, most_inline=len(result))
    except PayloadError:
        logger.exception("A result stays in the database.")
        return result
