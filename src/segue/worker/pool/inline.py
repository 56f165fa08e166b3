"""The inline pool: attempts run inside `collect`, in the calling thread. For `segue.run` and for tests.

Nothing can interrupt an attempt here: timeouts have no effect, and `cancel` reaches only jobs that have not begun. The
output of a task also appears on the terminal. Ctrl-C gets through, and so does an exception that ends the attempt that
called `segue.run`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic  # by name: a task may replace `time.monotonic`

from segue.attempt.around import attempting_process
from segue.attempt.outcomes import RESULT_LIMIT_BYTES, cancelled, released
from segue.attempt.runner import run_job
from segue.attempt.secrets import hide_in
from segue.authoring.context import NoStepError, current
from segue.engine.transactional import TaskTransactions
from segue.model import Attempt, Job, Outcome, Progress
from segue.payloads.keeping import Payloads
from segue.store.protocol import Store
from segue.worker.pool import News
from segue.worker.pool.routing import captured, routing
from segue.worker.pool.waiting import Waiter

_SIZE = 64
_TURN_SECONDS = 0.020


class InlinePool:
    """Runs jobs one after another; a `collect` works for about 20 ms, but on at least one job.

    Transactional tasks need the `store`.

    Example::

        pool = InlinePool()
        pool.start()
        pool.submit([job])
        [outcome] = pool.collect(timeout_seconds=0)
    """

    def __init__(
        self, *, echo: bool = True, result_limit_bytes: int = RESULT_LIMIT_BYTES, store: Store | None = None,
        payloads: Payloads | None = None,
    ) -> None:  # fmt: skip
        self._transactions = None if store is None else TaskTransactions(lambda: store)
        self._echo = echo
        self._result_limit_bytes = result_limit_bytes
        self._payloads = payloads
        self._waiter = Waiter()
        self._outer_is_to_end = _outer_is_to_end()
        self._waiting: deque[Job] = deque()
        self._news: list[News] = []
        self._is_open = False

    def start(self) -> None:
        """Begin to capture output."""
        routing.install()
        self._is_open = True
        attempting_process.begin()

    @property
    def capacity(self) -> int:
        """How many more jobs it takes in one turn."""
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
        """Run the waiting jobs; if there are none, wait."""
        if not self._waiting and not self._news:
            self._waiter.wait(timeout_seconds, extra_fds)
        end = monotonic() + _TURN_SECONDS
        while self._waiting:
            self._news.append(self._run(self._waiting.popleft()))
            if monotonic() >= end:
                break
        news, self._news = self._news, []
        return news

    def wake(self) -> None:
        """Make `collect` return."""
        self._waiter.wake()

    def cancel(self, run_id: str, step: int) -> None:
        """Drop this step's attempt if it has not begun."""
        for job in [job for job in self._waiting if job.run_id == run_id and job.step == step]:
            self._waiting.remove(job)
            self._news.append(cancelled(job))

    def output_of(self, run_id: str, step: int) -> str | None:
        """None: nothing can be asked while a task runs here."""
        return None

    def recall(self) -> None:
        """Hand back jobs that have not begun."""
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
            attempting_process.end()
        self._waiter.close()

    def _run(self, job: Job) -> Outcome:
        with captured(echo=self._echo) as tail:
            outcome = run_job(
                job,
                report=self._report,
                is_cancelled=self._outer_is_to_end,
                result_limit_bytes=self._result_limit_bytes,
                let_through=(KeyboardInterrupt,),
                transactions=self._transactions,
                on_return=tail.text,
                payloads=self._payloads,
            )
        outcome.output = hide_in(job, tail.text())
        return outcome

    def _report(self, progress: Progress) -> None:
        self._news.append(progress)


def _outer_is_to_end() -> Callable[[], bool] | None:
    """Whether the attempt in which this pool was created is to end; None outside of an attempt."""
    try:
        return current().cancelled
    except NoStepError:
        return None
