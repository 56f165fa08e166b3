"""The inline pool: attempts run inside `collect`, in the calling thread. For `segue.run` and for tests.

Nothing can interrupt an attempt here: timeouts are not kept, and `cancel` reaches only what has not begun. What a task
prints appears on the terminal, too. Ctrl-C gets through.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from segue.authoring.context import Cancelled
from segue.engine.transactional import TaskTransactions
from segue.model import Job, Outcome, Progress
from segue.store.protocol import Store
from segue.worker.pool import Attempt, News
from segue.worker.pool.endings import cancelled, released
from segue.worker.pool.routing import captured, routing
from segue.worker.pool.waiting import Waiter
from segue.worker.runner import RESULT_LIMIT_BYTES, run_job

_SIZE = 64
_TURN_SECONDS = 0.020


class InlinePool:
    """Runs jobs one after another; a `collect` works for about 20 ms, at least one job.

    Transactional tasks need the `store`.

    Example::

        pool = InlinePool()
        pool.start()
        pool.submit([job])
        [outcome] = pool.collect(timeout_seconds=0)
    """

    def __init__(
        self, *, echo: bool = True, result_limit_bytes: int = RESULT_LIMIT_BYTES, store: Store | None = None
    ) -> None:
        self._transactions = None if store is None else TaskTransactions(lambda: store)
        self._echo = echo
        self._result_limit_bytes = result_limit_bytes
        self._waiter = Waiter()
        self._waiting: deque[Job] = deque()
        self._news: list[News] = []
        self._is_open = False

    def start(self) -> None:
        """Begin to catch output."""
        routing.install()
        self._is_open = True

    @property
    def capacity(self) -> int:
        """How many more jobs it takes into one turn."""
        return max(0, _SIZE - len(self._waiting)) if self._is_open else 0

    @property
    def in_flight(self) -> list[Attempt]:
        """The attempts that were submitted and have not come back."""
        found = [(job.run_id, job.step, job.attempt) for job in self._waiting]
        return found + [(item.run_id, item.step, item.attempt) for item in self._news if isinstance(item, Outcome)]

    def submit(self, jobs: Sequence[Job]) -> None:
        """Keep these jobs for `collect`."""
        self._waiting.extend(jobs)

    def collect(self, timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[News]:
        """Run what waits; wait, when nothing does."""
        if not self._waiting and not self._news:
            self._waiter.wait(timeout_seconds, extra_fds)
        end = time.monotonic() + _TURN_SECONDS
        while self._waiting:
            self._news.append(self._run(self._waiting.popleft()))
            if time.monotonic() >= end:
                break
        news, self._news = self._news, []
        return news

    def wake(self) -> None:
        """Make `collect` return."""
        self._waiter.wake()

    def cancel(self, run_id: str, step: int) -> None:
        """Drop this step's attempt when it has not begun."""
        for job in [job for job in self._waiting if job.run_id == run_id and job.step == step]:
            self._waiting.remove(job)
            self._news.append(cancelled(job))

    def recall(self) -> None:
        """Hand back what has not begun."""
        self._news += [released(job) for job in self._waiting]
        self._waiting.clear()

    def stop(self, grace_seconds: float) -> list[Outcome]:
        """Hand back everything."""
        self.recall()
        outcomes = [item for item in self._news if isinstance(item, Outcome)]
        self.kill()
        return outcomes

    def kill(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._news.clear()
        if self._transactions is not None:
            self._transactions.close()
        if self._is_open:
            self._is_open = False
            routing.remove()
        self._waiter.close()

    def _run(self, job: Job) -> Outcome:
        with captured(echo=self._echo) as tail:
            try:
                outcome = run_job(
                    job,
                    report=self._report,
                    result_limit_bytes=self._result_limit_bytes,
                    let_through=(KeyboardInterrupt,),
                    transactions=self._transactions,
                    on_return=tail.text,
                )
            except Cancelled:
                outcome = cancelled(job)
        outcome.output = tail.text()
        return outcome

    def _report(self, progress: Progress) -> None:
        self._news.append(progress)
