"""Statistics of attempts, as users ask for them."""

from __future__ import annotations

from datetime import timedelta

from segue.client.given import guarded
from segue.engine.engine import Engine
from segue.engine.views.statistics import Statistics, statistics
from segue.errors import ConfigError
from segue.given import shown

GROUPS = ("queue", "task")
LONGEST = timedelta(days=90)


@guarded
class Measured:
    """What `Segue` says of its attempts over time."""

    engine: Engine

    def statistics(
        self, *, since: timedelta = timedelta(hours=1), by: str | None = None, queue: str | None = None,
        task: str | None = None,
    ) -> Statistics:  # fmt: skip
        """How many attempts ended in this time, how long they took and how long their steps had been ready before.

        With `by="queue"` or `by="task"` there is a series for each; `queue` and `task` leave out the others. Workers
        write these numbers every ten seconds; minutes are kept for two days, hours for 90 days. Example::

            for series in segue.statistics(by="queue").series:
                print(series.name, series.per_second, series.p95_seconds, series.attempts_over_time)
        """
        engine = self.engine
        if not timedelta(0) < since <= LONGEST:
            raise ConfigError(f"statistics: since={shown(since)} is not a time of up to {LONGEST.days} days.")
        if by is not None and by not in GROUPS:
            raise ConfigError(f"statistics: by={shown(by)} is neither of {', '.join(map(repr, GROUPS))}.")
        with engine.reading() as tx:
            return statistics(
                tx, engine.store.now(), age=since, by=by, queue=queue, task=task, namespace=engine.namespace,
                prefix=engine.prefix,
            )  # fmt: skip
