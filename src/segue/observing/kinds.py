"""The kinds of events, and the patterns that select them.

Every kind that the engine reports or writes to `segue_events` is listed here. A name that is not listed is a mistake,
and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

from segue.errors import ConfigError

Kind = Literal[
    "run.started", "run.succeeded", "run.failed", "run.cancelled", "run.cancel_requested", "run.paused", "run.resumed",
    "run.retried", "run.forked", "run.sent", "run.late_start", "run.late_end", "run.deadline",
    "step.started", "step.succeeded", "step.failed", "step.retrying", "step.suspended", "step.skipped",
    "step.cancelled",
    "step.skipped_by_hand", "step.marked", "step.edited", "step.late_start", "step.late_end", "step.schedule_to_start",
    "schedule.stuck", "schedule.created", "schedule.updated", "schedule.activated", "schedule.deactivated",
    "schedule.removed", "schedule.run", "schedule.backfilled", "limit.set", "limit.removed", "queue.weighted",
    "retention.set", "retention.removed", "subscription.set", "subscription.activated", "subscription.deactivated",
    "subscription.removed",
]  # fmt: skip
"""Every kind, for type checkers."""

Pattern = Literal[
    "*", "run.*", "step.*", "schedule.*", "limit.*", "retention.*",
    "subscription.*", "*.started", "*.succeeded", "*.failed", "*.cancelled", "*.late_start",
    "*.late_end", "*.late_*", "run.late_*", "step.late_*",
]  # fmt: skip
"""The patterns that people write, for type checkers; others work as well."""

KINDS: dict[Kind, str] = {
    "run.started": "its first step was claimed",
    "run.succeeded": "it ended",
    "run.failed": "it ended",
    "run.cancelled": "it ended",
    "run.cancel_requested": "its cancellation was requested",
    "run.paused": "it was paused",
    "run.resumed": "it was resumed",
    "run.retried": "it, or a part of it, was reset to run again",
    "run.forked": "a new run was forked from it",
    "run.sent": "a message was sent to it",
    "run.late_start": "it had not begun by the time of its SLA",
    "run.late_end": "it had not ended by the time of its SLA",
    "run.deadline": "it was ended because its deadline had passed",
    "step.started": "an attempt began",
    "step.succeeded": "it ended",
    "step.failed": "it ended: no try is left",
    "step.retrying": "an attempt failed or was lost, and another one will follow",
    "step.suspended": "its task sleeps or waits inside, and holds no worker meanwhile",
    "step.skipped": "it ended without having run, or its task raised `Skip`",
    "step.cancelled": "it ended with its run",
    "step.skipped_by_hand": "it was skipped by hand",
    "step.marked": "its outcome was set by hand",
    "step.edited": "its arguments or options were changed",
    "step.late_start": "it had not begun by the time of its SLA",
    "step.late_end": "it had not ended by the time of its SLA",
    "step.schedule_to_start": "it was ended because no worker began it in time",
    "schedule.stuck": "its next tick, or its queue, cannot be decided; the detail has its name and the problem",
    "schedule.created": "it was created",
    "schedule.updated": "it was changed",
    "schedule.activated": "it was switched on",
    "schedule.deactivated": "it was switched off",
    "schedule.removed": "it was removed",
    "schedule.run": "a run of it was started by hand",
    "schedule.backfilled": "ticks of the past were started; the detail has their number",
    "limit.set": "its size was set; the detail has it",
    "limit.removed": "it was removed",
    "queue.weighted": "the weight of a key in the queue was set",
    "retention.set": "a rule was set; the detail has it",
    "retention.removed": "a rule was removed",
    "subscription.set": "it was added or replaced",
    "subscription.activated": "it was switched on",
    "subscription.deactivated": "it was switched off",
    "subscription.removed": "it was removed",
}
"""Every kind, and its meaning for the run, step, schedule, limit, queue, workflow or subscription."""

_ALIKE = 3


def expand(patterns: Iterable[str]) -> frozenset[str]:
    """The kinds that these patterns select. Raises ConfigError, listing the kinds, for a pattern that selects none.

    A pattern is a kind, or has `*` for any text: `run.*`, `*.late_start`, `*`. Example::

        expand(["run.failed", "*.late_end"])  # run.failed, run.late_end, step.late_end
    """
    found: set[str] = set()
    for pattern in patterns:
        kinds = matching(pattern)
        if not kinds:
            raise ConfigError(_unknown(pattern))
        found |= kinds
    return frozenset(found)


def matching(pattern: object) -> set[str]:
    """The kinds that one pattern selects; none for an unknown pattern."""
    if not isinstance(pattern, str):
        return set()
    return {kind for kind in KINDS if fnmatchcase(kind, pattern)}


def _unknown(pattern: object) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for the message

    near = get_close_matches(pattern, list(KINDS), n=_ALIKE) if isinstance(pattern, str) else []
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"{pattern!r} is not a kind of event, nor a pattern for one.{guess} Kinds are {', '.join(KINDS)}; "
        "write * for any text, as in 'run.*'."
    )
