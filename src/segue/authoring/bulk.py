"""`segue.bulk`: the task that applies a verb, such as a cancellation, to many runs.

Every worker knows it. `segue.select(...).in_background()` starts runs of it; here is only its name and its policy, and
`segue.attempt.bulk` does the work.
"""

from __future__ import annotations

from typing import Any

from segue.authoring.checkpoint import journal_of
from segue.authoring.context import current
from segue.authoring.task import task
from segue.errors import PASSING_ERRORS

BULK = "segue.bulk"
FIRST = 9  # the highest priority: it may have to end the very steps that wait in its queue


@task(
    name=BULK, title="Bulk action", priority=FIRST, retries=50, retry_delay=1, retry_max_delay=60,
    retry_on=PASSING_ERRORS, lost_retries=20,
)  # fmt: skip
def bulk(*, order: dict[str, Any]) -> dict[str, Any]:
    """Apply a verb to all runs that match a filter."""
    return journal_of(current(), BULK, BULK).bulk(order)
