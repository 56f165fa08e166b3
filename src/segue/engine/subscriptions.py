"""Subscriptions: each event starts a run that delivers it to a target, at least once, after any crash.

The run is named `segue.notification`. Its key is the subscription and the event, so one event never starts two; it is
written in the transaction of the event itself. Events of such a run start no notifications: there are no cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from segue.engine.act import Act
from segue.engine.audit import record_change
from segue.engine.notes import events_of, payload
from segue.engine.start import NewRun, start_runs
from segue.engine.stored import known_moment, names_of
from segue.errors import ConfigError, PlanError, SubscriptionNotFoundError
from segue.jsonable import Jsonable
from segue.model import RUN, Ref
from segue.observing.journal import RawEvent
from segue.observing.kinds import expand, matching
from segue.observing.observers import Event
from segue.plan import codec
from segue.plan.frames import read
from segue.plan.graph import Node, Plan
from segue.plan.namespaces import bare, is_in, namespace_of, plan_in
from segue.store.protocol import Transaction

NOTIFICATION = "segue.notification"
"""The workflow of the runs that subscriptions start."""

_encode = msgspec.json.Encoder().encode
_GIVEN = Ref(RUN)
_CANNOT_BE_READ = (PlanError, ConfigError, LookupError, AttributeError, *codec.UNREADABLE)


class SubscriptionInfo(Jsonable, msgspec.Struct, frozen=True):
    """A subscription as it is stored."""

    name: str
    events: tuple[str, ...]  # patterns
    workflow: str | None  # None: all
    tasks: tuple[str, ...]  # the tasks of a notification
    target: str  # JSON: the plan of a notification
    is_active: bool
    created_at: datetime
    namespace: str = ""


class Subscribed(msgspec.Struct, frozen=True):
    """An active subscription, ready for use; its names are without their namespace."""

    name: str
    namespace: str
    kinds: frozenset[str]
    workflow: str | None
    target: Plan


def put_subscription(
    act: Act,
    name: str,
    *,
    events: Sequence[str],
    workflow: str | None,
    target: Plan,
    actor: str | None = None,
    reason: str | None = None,
) -> None:
    """Add a subscription; an existing one of this name gets these events and this target. Raises ConfigError for
    unknown events.

    In `target`, a hole that is `Ref(RUN)` stands for the event.
    """
    expand(events)
    act.tx.all(
        "put_subscription", name=name, events=_encode(list(events)).decode(), workflow=workflow,
        target=codec.encode(target), now=act.now,
    )  # fmt: skip
    of = {} if workflow is None else {"workflow": bare(workflow)}
    record_change(act, "subscription.set", name, actor=actor, reason=reason, events=list(events), **of)


def set_active(act: Act, name: str, is_active: bool, *, actor: str | None = None, reason: str | None = None) -> None:
    """Switch a subscription on or off. Raises SubscriptionNotFoundError."""
    changed = act.tx.all("set_subscription_active", name=name, is_active=is_active)
    if changed:
        kind = "subscription.activated" if is_active else "subscription.deactivated"
        record_change(act, kind, name, actor=actor, reason=reason)
    elif not act.tx.all("subscription_named", name=name):
        raise _unknown(name)


def delete_subscription(act: Act, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
    """Delete a subscription; notifications that have started continue. Raises SubscriptionNotFoundError."""
    if not act.tx.all("delete_subscription", name=name):
        raise _unknown(name)
    record_change(act, "subscription.removed", name, actor=actor, reason=reason)


def list_subscriptions(tx: Transaction, *, prefix: str | None = None) -> list[SubscriptionInfo]:
    """All subscriptions, or those of a namespace, by name."""
    return [_info(tx, name, *rest) for name, *rest in tx.all("list_subscriptions") if is_in(prefix, name)]


def active(tx: Transaction) -> list[Subscribed]:
    """The active ones. Those that this version of Segue cannot read are left out and logged."""
    return [each for row in tx.all("active_subscriptions") if (each := _subscribed(*row)) is not None]


def start_notifications(act: Act, subscribed: Sequence[Subscribed], raw_events: Sequence[RawEvent]) -> int:
    """Start a run for each event and each subscription that wants it, once. Returns how many."""
    runs = [
        run
        for event in events_of(act.tx, raw_events, act.now)
        if event.workflow != NOTIFICATION and (takers := [each for each in subscribed if _is_wanted(each, event)])
        for text in [_encode(payload(event)).decode()]
        for each in takers
        if (run := _run_of(act, each, event, text)) is not None
    ]
    if runs:
        start_runs(act, runs)
    return len(runs)


def start_test(act: Act, name: str) -> str:
    """Start a run that delivers an event which did not happen to the target of a subscription, also of an inactive one.

    Its kind is the first that the subscription wants, and `detail` says that it is a test. Returns the id of the run.
    Raises SubscriptionNotFoundError, and ConfigError for a target that cannot be read.
    """
    rows = [row for row in act.tx.all("list_subscriptions") if row[0] == name]
    if not rows:
        raise _unknown(name)
    _, events, workflow, target, *_ = rows[0]
    found = _subscribed(name, events, workflow, target)
    if found is None:
        raise ConfigError(f"The subscription {bare(name)!r} cannot be read. Remove it, and add it again.")
    event = Event(
        id=act.new_id(), kind=min(found.kinds, default="run.failed"), at=act.now, workflow=found.workflow,
        detail={"test": True},
    )  # fmt: skip
    run = _run_of(act, found, event, _encode(payload(event)).decode())
    if run is None:
        raise ConfigError(f"The subscription {bare(name)!r} has a target that cannot be run. Add it again.")
    start_runs(act, [run])
    return run.id


def _run_of(act: Act, each: Subscribed, event: Event, text: str) -> NewRun | None:
    """The run that delivers an event; None if it cannot be made, which must not undo the event."""
    try:
        return NewRun(
            act.new_id(), plan_in(_filled(each.target, text), each.namespace), f"{each.name}:{event.id}",
            started_by=f"subscription {each.name}",
        )  # fmt: skip
    except _CANNOT_BE_READ as error:
        _complain(each.name, error)
        return None


def _is_wanted(subscribed: Subscribed, event: Event) -> bool:
    is_mine = subscribed.namespace == event.namespace
    return is_mine and event.kind in subscribed.kinds and subscribed.workflow in (None, event.workflow)


def _filled(target: Plan, event: str) -> Plan:
    """The plan of one notification, with the JSON of the event in its holes."""
    return Plan(NOTIFICATION, tuple(_filled_node(node, event) for node in target.nodes), target.result)


def _filled_node(node: Node, event: str) -> Node:
    where = [hole.where for hole in node.holes if hole.what == _GIVEN]
    if not where:
        return node
    arguments = read(node.args)
    for path in where:
        inside = arguments
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = msgspec.Raw(event.encode())
    holes = tuple(hole for hole in node.holes if hole.what != _GIVEN)
    return msgspec.structs.replace(node, args=_encode(arguments).decode(), holes=holes)


@lru_cache(maxsize=256)
def _subscribed(name: str, events: str, workflow: str | None, target: str) -> Subscribed | None:
    """Each row is read only once, and an error in it is logged only once."""
    try:
        if "\\u0000" in target:
            raise ValueError("a text in it has a NUL, which PostgreSQL cannot store")
        kinds = frozenset[str]().union(*(matching(pattern) for pattern in msgspec.json.decode(events, type=list[str])))
        plan = codec.decode(target)
        _filled(plan, "null")
    except _CANNOT_BE_READ as error:
        _complain(name, error)
        return None
    return Subscribed(bare(name), namespace_of(name), kinds, None if workflow is None else bare(workflow), plan)


def _complain(name: str, error: Exception) -> None:
    from segue.observing.harmless_log import get_logger  # noqa: PLC0415 - imports logging, see `Watch.publish`

    logger = get_logger("segue.engine")
    logger.warning("the subscription %s is left out, because it cannot be read: %s", name, error)


def _tasks(target: str) -> tuple[str, ...]:
    try:
        return tuple(node.task for node in codec.decode(target).nodes if node.task is not None)
    except _CANNOT_BE_READ:
        return ()


def _unknown(name: str) -> SubscriptionNotFoundError:
    return SubscriptionNotFoundError(f"No subscription is named {bare(name)!r}. `segue subscriptions list` lists them.")


def _info(
    tx: Transaction, name: str, events: Any, workflow: str | None, target: Any, is_active: Any, created_at: Any
) -> SubscriptionInfo:
    since = known_moment(tx, created_at)
    of = None if workflow is None else bare(workflow)
    return SubscriptionInfo(
        bare(name), names_of(events), of, _tasks(target), target, bool(is_active), since, namespace_of(name)
    )
