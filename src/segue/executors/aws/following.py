"""When a job is looked at: less often the more there are, and an ended one once more, when its log has arrived."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from segue.dispatcher.protocol import Push

JOBS_A_CALL = 100
CALLS_A_SECOND = 5.0
_FORGET_SECONDS = 600.0


class Following:
    """What this process remembers of the jobs that it follows. Forgetting it costs a look, and nothing else."""

    def __init__(
        self, *, look_seconds: float, log_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._look_seconds = look_seconds
        self._log_seconds = log_seconds
        self._monotonic = monotonic
        self._looked_at: dict[str, float] = {}
        self._ended_at: dict[str, float] = {}
        self._stuck_at: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Between two looks at a job, so that all looks together stay below five calls a second."""
        return max(self._look_seconds, len(self._looked_at) / (JOBS_A_CALL * CALLS_A_SECOND))

    def due(self, pushes: Sequence[Push]) -> list[Push]:
        """Those of the pushes that are to be looked at now."""
        now = self._monotonic()
        seconds = self.seconds * 0.9  # rounds are not exact
        return [push for push in pushes if now - self._looked_at.get(push.id, -seconds) >= seconds]

    def looked(self, push_id: str) -> None:
        """It was looked at, and has not ended."""
        self._looked_at[push_id] = self._monotonic()

    def is_to_be_told(self, push_id: str) -> bool:
        """Whether an ended one has ended for long enough: the end of its log may come later than its end."""
        now = self._monotonic()
        self._looked_at.pop(push_id, None)
        return now - self._ended_at.setdefault(push_id, now) >= self._log_seconds

    def stuck_seconds(self, push_id: str, *, is_stuck: bool) -> float:
        """For how long it has waited for something that will not come by itself."""
        if not is_stuck:
            self._stuck_at.pop(push_id, None)
            return 0.0
        now = self._monotonic()
        return now - self._stuck_at.setdefault(push_id, now)

    def forget_old(self) -> None:
        """Forget what others have followed to its end."""
        before = self._monotonic() - _FORGET_SECONDS
        for memory in (self._looked_at, self._ended_at):
            for push_id in [push_id for push_id, at in memory.items() if at < before]:
                del memory[push_id]
                self._stuck_at.pop(push_id, None)
