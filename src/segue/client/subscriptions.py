"""Subscriptions: `segue.subscriptions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from segue.authoring.compose import Element, as_element
from segue.authoring.handle import Handle
from segue.authoring.notify import notify
from segue.authoring.trace import Trace
from segue.authoring.webhook import webhook
from segue.client.given import guarded
from segue.client.run import Run
from segue.engine import subscriptions as engine_subscriptions
from segue.engine.engine import Engine
from segue.engine.subscriptions import NOTIFICATION, SubscriptionInfo
from segue.errors import ConfigError
from segue.given import shown
from segue.model import RUN, Hook, Ref
from segue.plan.graph import Plan
from segue.plan.indexed import name_problem
from segue.plan.namespaces import plan_in

MOST_NAME_LENGTH = 200
Infos = list[SubscriptionInfo]  # an alias, because a method is called `list`


@guarded
class Subscriptions:
    """Sends events to targets, at least once: each event starts a run (`segue.notification`) that delivers it.

    Changes take effect in every process within about a second. Example::

        segue.subscriptions.add("on-call", events=["run.failed", "run.late_end"], to="slack://${SEGUE_SECRET_SLACK}/#ops")
        segue.subscriptions.add(
            "billing", events=["run.succeeded"], workflow="shop.invoice",
            to=segue.webhook.s("https://example.org/hooks", secret_env="HOOK_SECRET"),
        )
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(
        self,
        name: str,
        *,
        events: Sequence[str],
        to: Any,
        workflow: str | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Send these events to `to`. An existing subscription of this name is replaced, and stays active or inactive.

        `events` are kinds or patterns (`run.*`). `to` is a URL (http and https: a webhook; any other: Apprise), or a
        signature, task or chain that receives the event as a dict. `workflow` restricts it to the runs of one workflow.
        Raises ConfigError for unknown kinds, and PlanError or DefinitionError for a target that cannot be run.
        """
        wrong = name_problem(name, 4 * MOST_NAME_LENGTH)
        if wrong is not None or not name.strip() or len(name) > MOST_NAME_LENGTH:
            raise ConfigError(
                f"name={shown(name)} is not a name for a subscription; give 1 to {MOST_NAME_LENGTH} characters."
            )
        if not events:
            raise ConfigError(f"events={shown(events)} is not a list of kinds of events; write events=['run.failed'].")
        target = target_plan(to)
        plan_in(target, self._engine.namespace)  # reports an invalid target now, not when it is started
        stored = self._engine.stored
        self._engine.act(
            engine_subscriptions.put_subscription, stored(name), events=list(events),
            workflow=None if workflow is None else stored(workflow), target=target, actor=actor, reason=reason,
        )  # fmt: skip
        self._engine.watch.forget()

    def list(self) -> Infos:
        """All of them, in order of their names."""
        with self._engine.reading() as tx:
            return engine_subscriptions.list_subscriptions(tx, prefix=self._engine.prefix)

    def deactivate(self, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Switch it off: events that happen meanwhile are never sent. Raises SubscriptionNotFoundError."""
        self._set_active(name, False, actor=actor, reason=reason)

    def activate(self, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Switch it on. Raises SubscriptionNotFoundError."""
        self._set_active(name, True, actor=actor, reason=reason)

    def remove(self, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Delete it; notifications that have started continue. Raises SubscriptionNotFoundError."""
        self._engine.act(
            engine_subscriptions.delete_subscription, self._engine.stored(name), actor=actor, reason=reason
        )
        self._engine.watch.forget()

    def test(self, name: str) -> Run:
        """Start a run that sends an event which did not happen to the target; its detail says that it is a test.

        Raises SubscriptionNotFoundError. Example::

            segue.subscriptions.test("on-call").wait(timeout=60)
        """
        return Run(self._engine, self._engine.act(engine_subscriptions.start_test, self._engine.stored(name)))

    def _set_active(self, name: str, is_active: bool, *, actor: str | None, reason: str | None) -> None:
        self._engine.act(
            engine_subscriptions.set_active, self._engine.stored(name), is_active, actor=actor, reason=reason
        )
        self._engine.watch.forget()


def target_plan(to: Any) -> Plan:
    """The plan of a notification, with `Ref(RUN)` in the place of the event."""
    element = _element(to)
    trace = Trace(NOTIFICATION)
    trace.hook = Hook.FINALLY  # `Ref(RUN)` is valid only in a hook, so check it as one
    result = element._lay_out(trace, Handle(trace, Ref(RUN), ()))._expr
    plan = trace.finish(result)
    return msgspec.structs.replace(plan, nodes=tuple(msgspec.structs.replace(node, hook=None) for node in plan.nodes))


def _element(to: Any) -> Element:
    if not isinstance(to, str):
        return as_element(to, "to")
    return webhook.s(to) if to.partition("://")[0].lower() in ("http", "https") else notify.s(to)
