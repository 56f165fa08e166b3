"""Subscriptions: who is told of events by a run of its own, at least once, whatever crashes.

The run is named `segue.notification`. Its key is the subscription and the event, so one event never starts two; it is
written in the transaction of the event itself. What happens to such a run notifies nobody: there are no circles.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import msgspec

from segue.engine.happenings import events_of, payload
from segue.engine.ids import new_id
from segue.engine.start import NewRun, start_runs
from segue.errors import PlanError, SubscriptionNotFoundError
from segue.model import RUN, Ref
from segue.observing.journal import Happening
from segue.observing.kinds import expand, matching
from segue.observing.observers import Event
from segue.plan import codec
from segue.plan.graph import Node, Plan
from segue.store.protocol import Row, Store, Transaction

NOTIFICATION = "segue.notification"
"""The workflow of the runs that subscriptions start."""

_encode = msgspec.json.Encoder().encode
_GIVEN = Ref(RUN)


class SubscriptionInfo(msgspec.Struct, frozen=True):
    """A subscription as it stands in the database."""

    name: str
    events: tuple[str, ...]  # patterns
    workflow: str | None  # None: all
    tasks: tuple[str, ...]  # what a notification runs
    target: str  # JSON: the plan of a notification
    is_active: bool
    created_at: datetime


class Subscribed(msgspec.Struct, frozen=True):
    """An active subscription, ready for use."""

    name: str
    kinds: frozenset[str]
    workflow: str | None
    target: Plan


def put_subscription(
    tx: Transaction, now: datetime, name: str, *, events: Sequence[str], workflow: str | None, target: Plan
) -> None:
    """Add a subscription; one of this name gets these events and this target. Raises ConfigError for unknown events.

    In `target`, a hole that is `Ref(RUN)` stands for the event.
    """
    expand(events)
    tx.all(
        "put_subscription", name=name, events=_encode(list(events)).decode(), workflow=workflow,
        target=codec.encode(target), now=now,
    )  # fmt: skip


def set_active(tx: Transaction, name: str, is_active: bool) -> None:
    """Let a subscription rest, or go on. Raises SubscriptionNotFoundError."""
    if not tx.all("set_subscription_active", name=name, is_active=is_active):
        raise _unknown(name)


def delete_subscription(tx: Transaction, name: str) -> None:
    """Delete a subscription; notifications that were started go on. Raises SubscriptionNotFoundError."""
    if not tx.all("delete_subscription", name=name):
        raise _unknown(name)


def list_subscriptions(store: Store, tx: Transaction) -> list[SubscriptionInfo]:
    """All of them, by name."""
    return [_info(store, row) for row in tx.all("list_subscriptions")]


def active(tx: Transaction) -> list[Subscribed]:
    """Those that are active; without what this version of Segue cannot read, which is logged and not raised."""
    return [each for row in tx.all("active_subscriptions") if (each := _subscribed(*row)) is not None]


def start_notifications(
    store: Store, tx: Transaction, subscribed: Sequence[Subscribed], happenings: Sequence[Happening], now: datetime
) -> int:
    """Start a run for each event and each subscription that wants it, once; returns how many."""
    runs = [
        NewRun(new_id(now), _filled(each.target, text), f"{each.name}:{event.id}")
        for event in events_of(tx, happenings, now)
        if event.workflow != NOTIFICATION and (takers := [each for each in subscribed if _is_wanted(each, event)])
        for text in [_encode(payload(event)).decode()]
        for each in takers
    ]
    if runs:
        start_runs(store, tx, runs, now)
    return len(runs)


def _is_wanted(subscribed: Subscribed, event: Event) -> bool:
    return event.kind in subscribed.kinds and subscribed.workflow in (None, event.workflow)


def _filled(target: Plan, event: str) -> Plan:
    """The plan of one notification: the event as JSON in the places that stand for it."""
    return Plan(NOTIFICATION, tuple(_filled_node(node, event) for node in target.nodes), target.result)


def _filled_node(node: Node, event: str) -> Node:
    where = [hole.where for hole in node.holes if hole.what == _GIVEN]
    if not where:
        return node
    arguments = msgspec.json.decode(node.args)
    for path in where:
        inside = arguments
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = msgspec.Raw(event.encode())
    holes = tuple(hole for hole in node.holes if hole.what != _GIVEN)
    return msgspec.structs.replace(node, args=_encode(arguments).decode(), holes=holes)


@lru_cache(maxsize=256)
def _subscribed(name: str, events: str, workflow: str | None, target: str) -> Subscribed | None:
    """The same row is read once, and complained of once."""
    try:
        kinds = frozenset[str]().union(*(matching(pattern) for pattern in msgspec.json.decode(events, type=list[str])))
        plan = codec.decode(target)
        _filled(plan, "null")
    except (PlanError, msgspec.DecodeError, LookupError, TypeError) as error:
        import logging  # noqa: PLC0415 - takes milliseconds, and is wanted when something is wrong

        logger = logging.getLogger("segue.engine")
        logger.warning("the subscription %s is left out, because it cannot be read: %s", name, error)
        return None
    return Subscribed(name, kinds, workflow, plan)


def _tasks(target: str) -> tuple[str, ...]:
    try:
        return tuple(node.task for node in codec.decode(target).nodes if node.task is not None)
    except PlanError:
        return ()


def _unknown(name: str) -> SubscriptionNotFoundError:
    return SubscriptionNotFoundError(f"No subscription is called {name!r}. `segue subscriptions list` lists them.")


def _info(store: Store, row: Row) -> SubscriptionInfo:
    name, events, workflow, target, is_active, created_at = row
    since = store.datetime(created_at)
    assert since is not None  # NOT NULL
    patterns = tuple(msgspec.json.decode(events))
    return SubscriptionInfo(name, patterns, workflow, _tasks(target), target, bool(is_active), since)
