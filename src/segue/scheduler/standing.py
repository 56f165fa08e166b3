"""How things stand, as numbers for monitoring.

The process that is asked for them makes them, at most once in 15 seconds for each namespace.

Promises: what is not read costs nothing; ten readers cost no more than one; a reader that finds fresh numbers reads
one row; each count ends at `MOST`. No leader is needed, so the numbers also say that there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.engine.limiting.limits import list_limits
from segue.engine.stored import moment_of
from segue.engine.views.queues import ready_by_queues
from segue.errors import StoreReadOnlyError
from segue.observing.metrics import registry
from segue.observing.metrics.registry import METRICS, Metric, Source
from segue.plan.namespaces import EVERY, bare, is_in, namespace_of
from segue.scheduler.leader import leader_info
from segue.store.protocol import Transaction

FRESH_SECONDS = 15.0
MOST = 100_000
"""Where each count ends. Counted in full, a queue with millions of steps would make every look at it slow."""

MOST_QUEUES, MOST_SCHEDULES = 200, 1000
Sample = tuple[Metric, tuple[str, ...], float]

_BY_GATE = {
    "timer": registry.DELAYED, "limit": registry.LIMITED, "running": registry.RUNNING, "sent": registry.SENT,
}  # fmt: skip
_BY_NAME = {metric.name: metric for metric in METRICS if metric.source == Source.DATABASE}


def standing_of(engine: Engine) -> list[Sample]:
    """The numbers of the engine's namespace, at most some 15 seconds old, and their age."""
    found = _stored(engine)
    if found is None or found[0] > FRESH_SECONDS:
        found = _made_again(engine) or found or (0.0, _made(engine))
    age, samples = found
    return [*samples, (registry.STANDING_AGE, (), age)]


def _stored(engine: Engine) -> tuple[float, list[Sample]] | None:
    now = engine.store.now()
    with engine.reading() as tx:
        rows = tx.all("standing", namespace=engine.namespace)
        for made_at, text in rows:
            moment = moment_of(tx, made_at)
            if moment is not None and text is not None:
                return max((now - moment).total_seconds(), 0.0), _decoded(text)
    return None


def _made_again(engine: Engine) -> tuple[float, list[Sample]] | None:
    """Make them, and store them for the others; None if another process is doing that."""
    try:
        if not engine.act(_take, namespace=engine.namespace):
            return None
        samples = _made(engine)
        engine.act(_put, namespace=engine.namespace, text=_encoded(samples))
    except StoreReadOnlyError:  # a copy of the database, of which one may ask as well
        return None
    return 0.0, samples


def _take(act: Act, namespace: str) -> bool:
    before = act.now - timedelta(seconds=FRESH_SECONDS)
    return bool(act.tx.all("take_standing", namespace=namespace, now=act.now, before=before))


def _put(act: Act, namespace: str, text: str) -> None:
    act.tx.later("put_standing", namespace=namespace, now=act.now, samples=text)


def _made(engine: Engine) -> list[Sample]:
    now = engine.store.now()
    with engine.reading() as tx:
        return [
            *_queues(engine, tx, now),
            *_others(engine, tx, now),
            *_limits(engine, tx),
            *_schedules(engine, tx, now),
        ]


def _queues(engine: Engine, tx: Transaction, now: datetime) -> Iterator[Sample]:
    waiting = 0
    for queue, gate, count in tx.all("held_steps", most=MOST):
        if not is_in(engine.prefix, queue):
            continue
        if gate in _BY_GATE:
            yield _BY_GATE[gate], (_shown(engine, queue),), count
        else:
            waiting += count
    yield registry.WAITING, (), waiting
    for queue, count, moment in ready_by_queues(tx, prefix=engine.prefix, most=MOST, queues=MOST_QUEUES):
        shown = (_shown(engine, queue),)
        yield registry.READY, shown, count
        yield registry.OLDEST, shown, 0.0 if moment is None else max((now - moment).total_seconds(), 0.0)


def _others(engine: Engine, tx: Transaction, now: datetime) -> Iterator[Sample]:
    for status, count in tx.all("live_runs_by_status", prefix=engine.prefix, most=MOST):
        yield registry.LIVE_RUNS, (status,), count
    space = None if engine.namespace == EVERY else engine.namespace
    for status, count in tx.all("workers_by_status", namespace=space):
        yield registry.WORKERS, (status,), count
    if space is not None:
        leader = leader_info(tx, space)
        seconds = 0.0 if leader is None else max((leader.lease_until - now).total_seconds(), 0.0)
        yield registry.LEASE, (), seconds
    yield registry.SCHEMA, (), engine.store.schema_version()


def _limits(engine: Engine, tx: Transaction) -> Iterator[Sample]:
    for limit in list_limits(tx, prefix=engine.prefix):
        label = (_joined(engine, limit.namespace, limit.name),)
        if limit.concurrency is not None:
            yield registry.LIMIT_PLACES, label, limit.concurrency
        yield registry.LIMIT_TAKEN, label, limit.used
        yield registry.LIMIT_WAITING, label, limit.waiting


def _schedules(engine: Engine, tx: Transaction, now: datetime) -> Iterator[Sample]:
    stuck = 0
    for name, due_at, problem in tx.all("standing_of_schedules", most=MOST_SCHEDULES):
        if not is_in(engine.prefix, name):
            continue
        stuck += problem is not None
        due = moment_of(tx, due_at)
        if due is not None:
            yield registry.LAG, (_shown(engine, name),), max((now - due).total_seconds(), 0.0)
    yield registry.STUCK, (), stuck


def _shown(engine: Engine, stored_name: str) -> str:
    return _joined(engine, namespace_of(stored_name), bare(stored_name))


def _joined(engine: Engine, namespace: str, name: str) -> str:
    """A name as the value of a label: with its namespace where all namespaces are shown."""
    return f"{namespace}/{name}" if engine.namespace == EVERY and namespace else name


def _encoded(samples: list[Sample]) -> str:
    return msgspec.json.encode([(metric.name, values, value) for metric, values, value in samples]).decode()


def _decoded(text: str) -> list[Sample]:
    """What another process stored; without metrics that this version does not know."""
    try:
        found = msgspec.json.decode(text, type=list[tuple[str, tuple[str, ...], float]])
    except msgspec.MsgspecError:
        return []
    known = [(_BY_NAME[name], values, value) for name, values, value in found if name in _BY_NAME]
    return [sample for sample in known if len(sample[1]) == len(sample[0].labels)]
