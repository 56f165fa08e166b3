"""What dispatchers know of the platforms of their executors, and how much of each executor is outside.

A dispatcher writes it when it changes, and once a minute, so that other processes can say that a cluster is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from segue.engine.act import Act
from segue.engine.stored import object_of, storable
from segue.jsonable import Jsonable
from segue.plan.namespaces import bare, is_in, namespace_of
from segue.store.protocol import Transaction


class PlatformState(NamedTuple):
    """What a dispatcher writes."""

    kind: str
    pace: str  # JSON
    looked_at: datetime | None = None  # None: it did not answer, so the time stays as it was
    blind_since: datetime | None = None
    busy_since: datetime | None = None
    problem: str | None = None


class ExecutorInfo(Jsonable, msgspec.Struct, frozen=True):
    """An executor that is polled, as its dispatchers know it."""

    name: str
    namespace: str
    kind: str
    pace: dict[str, Any]
    looked_at: datetime | None  # when its platform last answered
    blind_since: datetime | None  # since when it does not
    busy_since: datetime | None  # since when it takes nothing
    problem: str | None  # in the platform's words
    written_at: datetime | None  # when a dispatcher last said so
    open: Mapping[str, int] = {}  # pushes that have not ended: planned, unsure, queued, running


def say_platform(act: Act, executor: str, state: PlatformState) -> None:
    """Write what is known of the platform of this executor; its name is the stored one."""
    problem = None if state.problem is None else storable(state.problem, limit=500)
    act.tx.all(
        "put_platform", executor=executor, kind=state.kind, pace=state.pace, looked_at=state.looked_at,
        blind_since=state.blind_since, busy_since=state.busy_since, problem=problem, now=act.now,
    )  # fmt: skip


def list_executors(tx: Transaction, *, prefix: str | None = None) -> list[ExecutorInfo]:
    """All executors that a dispatcher has served, or that have open pushes. With `prefix`, those of a namespace."""
    counts: dict[str, dict[str, int]] = {}
    for executor, state, phase, count in tx.all("pushes_by_state"):
        where = phase or "queued" if state == "accepted" else state
        mine = counts.setdefault(str(executor), {})
        mine[where] = mine.get(where, 0) + count
    found = {}
    for name, kind, pace, looked_at, blind_since, busy_since, problem, written_at in tx.all("platforms", prefix=""):
        found[name] = ExecutorInfo(
            bare(name), namespace_of(name), kind, object_of(pace), tx.datetime(looked_at), tx.datetime(blind_since),
            tx.datetime(busy_since), problem, tx.datetime(written_at), counts.get(name, {}),
        )  # fmt: skip
    for name in counts.keys() - found.keys():
        found[name] = ExecutorInfo(bare(name), namespace_of(name), "", {}, None, None, None, None, None, counts[name])
    return [found[name] for name in sorted(found) if is_in(prefix, name)]


def platform_of(tx: Transaction, executor: str) -> ExecutorInfo | None:
    """What is known of one executor, by its stored name, without counting what is outside."""
    for name, kind, pace, looked_at, blind_since, busy_since, problem, written_at in tx.all(
        "platforms", prefix=executor
    ):
        if name == executor:
            times = (tx.datetime(looked_at), tx.datetime(blind_since), tx.datetime(busy_since))
            return ExecutorInfo(
                bare(name), namespace_of(name), kind, object_of(pace), *times, problem, tx.datetime(written_at)
            )  # fmt: skip
    return None
