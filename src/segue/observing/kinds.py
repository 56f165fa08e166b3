"""The kinds of events, and the patterns that people write for them.

Every kind that the engine tells, or writes down in `segue_events`, is listed here: a name that is not is a mistake, and
is refused where somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from segue.errors import ConfigError

KINDS = {
    "run.started": "its first step was claimed",
    "run.succeeded": "it ended",
    "run.failed": "it ended",
    "run.cancelled": "it ended",
    "run.cancel_requested": "somebody asked for its end",
    "run.paused": "somebody paused it",
    "run.resumed": "somebody resumed it",
    "run.retried": "somebody had it, or a part of it, done again",
    "run.forked": "somebody started a new run from it",
    "run.sent": "somebody sent it a message",
    "run.late_start": "it had not begun by the time that its SLA allows",
    "run.late_end": "it had not ended by the time that its SLA allows",
    "run.deadline": "it was ended because its deadline had passed",
    "step.started": "an attempt began",
    "step.succeeded": "it ended",
    "step.failed": "it ended: no try is left",
    "step.retrying": "an attempt failed or was lost, and another one will follow",
    "step.skipped": "it ended without having run, or its task raised `Skip`",
    "step.cancelled": "it ended with its run",
    "step.skipped_by_hand": "somebody skipped it",
    "step.marked": "somebody said how it ended",
    "step.edited": "somebody changed its arguments or options",
    "step.late_start": "it had not begun by the time that its SLA allows",
    "step.late_end": "it had not ended by the time that its SLA allows",
    "step.schedule_to_start": "it was ended because nobody began it in time",
    "schedule.stuck": "its next tick, or its queue, cannot be decided; the detail has its name and the problem",
}
"""Every kind, and what it says of the run, step or schedule."""

_ALIKE = 3


def expand(patterns: Iterable[str]) -> frozenset[str]:
    """The kinds that these patterns mean; raises ConfigError, listing what there is, when one means none.

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
    """The kinds that one pattern means; none when it is not known here."""
    if not isinstance(pattern, str):
        return set()
    return {kind for kind in KINDS if fnmatchcase(kind, pattern)}


def _unknown(pattern: object) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for the message

    near = get_close_matches(pattern, list(KINDS), n=_ALIKE) if isinstance(pattern, str) else []
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"{pattern!r} is no kind of event and no pattern of one.{guess} There are {', '.join(KINDS)}; "
        "write * for any text, as in 'run.*'."
    )
