"""Metrics of a process that works for long: counted in it, and served at `/metrics`.

The ends of runs, and of attempts at executors, are counted here, too. The code that records them knows only their ids;
a thread looks up the names, once a second, so that no turn waits for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

from segue.engine.engine import Engine
from segue.engine.stored import moment_of
from segue.loop.small_server import Answer, SmallServer
from segue.loop.vitals import Pulse
from segue.observing.harmless_log import get_logger
from segue.observing.metrics import registry
from segue.observing.metrics.loading import CONTENT_TYPE, prometheus_module
from segue.observing.metrics.meter import EndedAttempt, Meter, metering
from segue.plan.namespaces import bare, is_in

LOOK_SECONDS = 1.0
AT_ONCE = 500
MOST_WAITING = 50_000
"""How many ends may wait to be looked up; further ones are not counted."""

REMEMBERED = 10_000

Render = Callable[[], bytes]

logger = get_logger("segue.metrics")


class Ends:
    """Counts the runs, and the attempts at executors, whose ends this process recorded, while its block lasts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._runs: deque[str] = deque(maxlen=MOST_WAITING)
        self._attempts: deque[EndedAttempt] = deque(maxlen=MOST_WAITING)
        self._counted: dict[tuple[str, str], None] = {}  # (run, end): a run that is retried ends again
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._look_forever, name="segue-ends", daemon=True)

    def __enter__(self) -> Ends:
        metering.listener = self
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        metering.listener = None
        self._is_over.set()
        self._thread.join(LOOK_SECONDS)

    def runs_ended(self, run_ids: Iterable[str]) -> None:
        """These runs have ended, or may have."""
        self._runs.extend(run_ids)

    def attempts_ended(self, attempts: Iterable[EndedAttempt]) -> None:
        """These attempts have ended."""
        self._attempts.extend(attempts)

    def look(self) -> None:
        """Count those that wait. Raises StoreError if the database does not answer; then they wait on."""
        with self._lock:
            while runs := _taken(self._runs):
                with _put_back(self._runs, runs):
                    self._count_runs(runs)
            while attempts := _taken(self._attempts):
                with _put_back(self._attempts, attempts):
                    self._count_attempts(attempts)

    def _look_forever(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            with suppress(Exception):  # the database is away; a scrape says so
                self.look()

    def _count_attempts(self, ended: Sequence[EndedAttempt]) -> None:
        with self._engine.reading() as tx:
            steps = {(each.run_id, each.step) for each in ended}
            asked = {key: tx.later("task_of_step", run_id=key[0], step=key[1]) for key in steps}
            found = {key: rows[0] for key, later in asked.items() if (rows := later.rows())}
        for each in ended:
            task, queue = found.get((each.run_id, each.step), (None, ""))
            metering.attempt_ended(task or "unknown", bare(queue), each.outcome, each.seconds)

    def _count_runs(self, ids: Sequence[str]) -> None:
        with self._engine.reading() as tx:
            for run_id, workflow, status, started_at, finished_at, *_ in tx.all("ends_of_runs", ids=sorted(set(ids))):
                key = (str(run_id), str(finished_at))
                if key in self._counted or not is_in(self._engine.prefix, workflow):
                    continue
                self._counted[key] = None
                if len(self._counted) > REMEMBERED:
                    del self._counted[next(iter(self._counted))]
                metering.add(registry.RUNS_ENDED, bare(workflow), status)
                started, finished = moment_of(tx, started_at), moment_of(tx, finished_at)
                if started is not None and finished is not None:
                    seconds = max((finished - started).total_seconds(), 0.0)
                    metering.observe(registry.RUN_SECONDS, bare(workflow), amount=seconds)


T = TypeVar("T")


def _taken(waiting: deque[T]) -> list[T]:
    return [waiting.popleft() for _ in range(min(AT_ONCE, len(waiting)))]


@contextmanager
def _put_back(waiting: deque[T], taken: list[T]) -> Iterator[None]:
    """If the block raises, what was taken waits again."""
    try:
        yield
    except BaseException:
        waiting.extendleft(reversed(taken))
        raise


@contextmanager
def measured(
    engine: Engine, address: str | None, *, also: Render | None = None, pulse: Pulse | None = None,
    gauges: Callable[[Meter], Sequence[Callable[[], None]]] | None = None,
) -> Iterator[None]:  # fmt: skip
    """While the block runs, count, and serve the metrics at this address; without one, do nothing.

    `also` makes further text for each answer. `gauges` is given the meter, and returns what ends its questions. Raises
    ConfigError if the address cannot be used, or if prometheus_client is not installed. Example::

        with measured(segue.engine, "127.0.0.1:9464", pulse=worker.vitals):
            worker.run()
    """
    if address is None:
        yield
        return
    prometheus = prometheus_module()
    meter: Meter = prometheus.meter_of_this_process()
    with ExitStack() as stack:
        if pulse is not None:
            stack.callback(meter.ask(registry.ANSWER_AGE, value=lambda: pulse.answer_age_seconds))
        for end in gauges(meter) if gauges is not None else ():
            stack.callback(end)
        ends = stack.enter_context(Ends(engine))

        def page() -> Answer:
            with suppress(Exception):  # the counters are shown in any case
                ends.look()
            text: bytes = prometheus.text_of_process()
            return Answer(200, CONTENT_TYPE, text + _made(also))

        stack.enter_context(SmallServer("--metrics", address, {"/metrics": page}, otherwise=_unknown, port=9464))
        yield


def _made(also: Render | None) -> bytes:
    """Nothing while the database is away: then what this process counts is what is asked for."""
    try:
        return b"" if also is None else also()
    except Exception as error:  # noqa: BLE001 - as above
        logger.warning("how things stand cannot be read: %s", error)
        return b""


def _unknown() -> Answer:
    return Answer(404, "text/plain; charset=utf-8", b"ask /metrics\n")
