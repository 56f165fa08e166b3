"""What all that people do to a run has in common: the run's lock, and the answer.

A *verb* is a function `(store, tx, run_id, now) -> Done`. It locks the run first, may be said twice, and writes down an
event when it had an effect. `segue.client.selection` applies verbs to many runs, a transaction for each.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from segue.model import RunStatus
from segue.store.protocol import Store, Transaction

LIVE = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)
"""The statuses of runs that are not final."""


class Done(NamedTuple):
    """What came of a verb on one run."""

    status: str  # of the run afterwards
    changed: bool  # False: it was so already, or the verb means nothing to a run like this


Verb = Callable[[Store, Transaction, str, datetime], Done]


def said(actor: str | None, reason: str | None) -> dict[str, Any]:
    """Who did it and why, as the detail of an event; without what nobody said."""
    return {name: text for name, text in (("actor", actor), ("reason", reason)) if text}
