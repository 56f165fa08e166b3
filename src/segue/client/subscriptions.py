"""Subscriptions, as users hold them: `segue.subscriptions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from segue.authoring import notify, webhook
from segue.authoring.compose import Element, as_element
from segue.authoring.handle import Handle
from segue.authoring.trace import Trace
from segue.engine import subscriptions as engine_subscriptions
from segue.engine.engine import Engine
from segue.engine.subscriptions import NOTIFICATION, SubscriptionInfo
from segue.errors import ConfigError
from segue.model import RUN, Hook, Ref
from segue.plan.graph import Plan

MOST_NAME_LENGTH = 200
Infos = list[SubscriptionInfo]  # under a name, because a method is called `list`


class Subscriptions:
    """Who is told of events, at least once, by a run of its own (`segue.notification`) for each event.

    What is said here counts for every process within about a second. Example::

        segue.subscriptions.add("on-call", events=["run.failed", "run.late_end"], to="slack://${SLACK_TOKEN}/#ops")
        segue.subscriptions.add(
            "billing", events=["run.succeeded"], workflow="shop.invoice",
            to=segue.webhook.s("https://example.org/hooks", secret_env="HOOK_SECRET"),
        )
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, name: str, *, events: Sequence[str], to: Any, workflow: str | None = None) -> None:
        """Tell `to` of these events; a subscription of this name is replaced, and stays as active as it was.

        `events` are kinds or patterns (`run.*`). `to` is a URL (http and https: a webhook, any other: Apprise), or a
        signature, task or chain, which is given the event as a dict. `workflow`: only of its runs. Raises ConfigError
        for events that do not exist, PlanError and DefinitionError for a target that cannot be run.
        """
        if not name.strip() or len(name) > MOST_NAME_LENGTH:
            raise ConfigError(f"name={name!r} is no name for a subscription; give 1 to {MOST_NAME_LENGTH} characters.")
        if isinstance(events, str) or not events:
            raise ConfigError(f"events={events!r} is not a list of kinds of events; write events=['run.failed'].")
        target = target_plan(to)
        self._engine.act(
            lambda tx, now: engine_subscriptions.put_subscription(
                tx, now, name, events=list(events), workflow=workflow, target=target
            )
        )
        self._engine.watch.forget()

    def list(self) -> Infos:
        """All of them, by name."""
        with self._engine.reading() as tx:
            return engine_subscriptions.list_subscriptions(self._engine.store, tx)

    def deactivate(self, name: str) -> None:
        """Let it rest: events that happen meanwhile are not told later. Raises SubscriptionNotFoundError."""
        self._set_active(name, False)

    def activate(self, name: str) -> None:
        """Let it go on. Raises SubscriptionNotFoundError."""
        self._set_active(name, True)

    def remove(self, name: str) -> None:
        """Delete it; notifications that were started go on. Raises SubscriptionNotFoundError."""
        self._engine.act(lambda tx, _: engine_subscriptions.delete_subscription(tx, name))
        self._engine.watch.forget()

    def _set_active(self, name: str, is_active: bool) -> None:
        self._engine.act(lambda tx, _: engine_subscriptions.set_active(tx, name, is_active))
        self._engine.watch.forget()


def target_plan(to: Any) -> Plan:
    """What a notification runs, with `Ref(RUN)` where the event goes."""
    element = _element(to)
    trace = Trace(NOTIFICATION)
    trace.hook = Hook.FINALLY  # only a hook may be given what `Ref(RUN)` stands for, so it is checked as one
    result = element.lay_out(trace, Handle(trace, Ref(RUN), ()))._expr
    plan = trace.finish(result)
    return msgspec.structs.replace(plan, nodes=tuple(msgspec.structs.replace(node, hook=None) for node in plan.nodes))


def _element(to: Any) -> Element:
    if not isinstance(to, str):
        return as_element(to, "to")
    return webhook.s(to) if to.partition("://")[0].lower() in ("http", "https") else notify.s(to)
