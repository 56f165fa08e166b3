"""Messages that a worker holds: it has received them, and its pool has not begun them.

They are neither in the broker nor recorded as begun, perhaps for long: behind slow tasks, or until the rate of their
task lets them go. The node says in time that they are not lost, or they would be sent again.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from celery.worker import state

from segue.executors.celery.publish import StepHeader, header_of
from segue.executors.celery.repairing import renew
from segue.model import Attempt

if TYPE_CHECKING:
    from segue.executors.celery.door import Door


class Held:
    """What a worker holds. `worker` is Celery's WorkController."""

    def __init__(self, door: Door, worker: Any) -> None:
        self._door = door
        self._worker = worker
        self._fresh_at: dict[Attempt, float] = {}  # when each was sent, or renewed, by this process's monotonic clock

    def headers(self) -> list[StepHeader]:
        """Of the messages that the worker has, also of those that its pool runs."""
        buckets = getattr(getattr(self._worker, "consumer", None), "task_buckets", None) or {}
        waiting = [each for bucket in copy_of(buckets.values()) if bucket for each, _ in copy_of(bucket.contents)]
        found = (header_of(each.request_dict) for each in (*copy_of(state.reserved_requests), *waiting))
        return [header for header in found if header is not None]

    def renew(self, now: float, running: AbstractSet[Attempt]) -> None:
        """Renew those that would soon be taken for lost, but for those that run."""
        held = [header for header in self.headers() if header.attempt not in running]
        if not held:
            self._fresh_at.clear()
            return
        epoch = now - self._door.engine.store.now().timestamp()
        known = self._fresh_at
        fresh = self._fresh_at = {each.attempt: known.get(each.attempt, epoch + each.sent_at) for each in held}
        late = [attempt for attempt, at in fresh.items() if now - at > self._door.lease_seconds / 2]
        if late:
            renew(self._door, late)
            fresh.update(dict.fromkeys(late, now))


def copy_of(found: Any) -> list[Any]:
    """A copy of what another thread changes meanwhile."""
    for _ in range(5):
        with suppress(RuntimeError):
            return list(found)
    return []
