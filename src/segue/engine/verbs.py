"""The common part of all operations of people on a run: the run's lock, and the result.

A *verb* is a function `(act, run_id, ...) -> Done`. It locks the run first, may be applied twice, and records an event
if it had an effect. `segue.client.selection` applies verbs to many runs, with a transaction for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.acts import Acts
from segue.errors import RunStateError, SegueError
from segue.model import RunStatus

LIVE = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)
"""The statuses of runs that are not final."""


class Done(NamedTuple):
    """The effect of a verb on one run."""

    status: str  # of the run afterwards
    changed: bool  # False: it was in that state already, or the verb has no effect in the run's state


Verb = Callable[[Act, str], Done]


def say_to(engine: Acts, verb: Verb, run_id: str) -> Done:
    """Apply a verb to a run. Raises RunStateError if the rows of the run cannot be processed."""
    try:
        return engine.act(verb, run_id)
    except SegueError:
        raise
    except Exception as error:
        raise RunStateError(
            f"This cannot be done to run {run_id}: its rows were changed by hand or damaged "
            f"({type(error).__name__}: {error}). A worker or the chores end it as failed when they meet them."
        ) from error
