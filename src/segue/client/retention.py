"""Retention rules: `segue.retention`."""

from __future__ import annotations

from datetime import timedelta

from segue.client.given import checked, guarded, number
from segue.engine import retention
from segue.engine.engine import Engine
from segue.engine.retention import BUILT_IN, Rule
from segue.scheduler.sweeping import sweep

__all__ = ["BUILT_IN", "Retention", "Rule"]

Rules = list[Rule]  # an alias, because a method is called `list`


@guarded
class Retention:
    """How long runs that have ended are kept. The processes that do the chores delete them, in small transactions.

    The most specific rule applies: a rule for a workflow and status, then for a workflow, then for a status, then for
    all. Without a rule, runs are kept for 30 days. Example::

        segue.retention.set(max_age=timedelta(days=90))                                    # all runs
        segue.retention.set("shop.poll", max_age=timedelta(days=1), max_count=1000)        # those of one workflow
        segue.retention.set("shop.invoice", status="failed", max_age=None)                 # kept forever
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> Rules:
        """The rules that were set."""
        with self._engine.reading() as tx:
            return retention.list_rules(tx, prefix=self._engine.prefix)

    def get(self, workflow: str, status: str) -> Rule:
        """The rule that applies to runs of a workflow that ended with this status."""
        retention.check_status(status)
        return retention.rule_for(self.list(), self._engine.stored(workflow), status)

    def set(
        self, workflow: str = "", status: str = "", *, max_age: timedelta | float | None = None,
        max_count: int | None = None, actor: str | None = None, reason: str | None = None,
    ) -> Rule:  # fmt: skip
        """Create or change a rule. '' means all workflows, or all statuses.

        A run is deleted when it ended longer ago than `max_age` (a timedelta or seconds; None: forever), or when its
        workflow has `max_count` newer runs to which the same rule applies (None: any number).
        """
        seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
        if seconds is not None:
            seconds = float(checked("Retention.set", "max_age", seconds, number))
        rule = Rule(workflow, status, seconds, max_count, self._engine.namespace)
        self._engine.act(retention.set_rule, rule, actor=actor, reason=reason)
        return rule

    def remove(
        self, workflow: str = "", status: str = "", *, actor: str | None = None, reason: str | None = None
    ) -> bool:
        """Remove a rule, so that a more general one applies again; False if it does not exist."""
        had = any((rule.workflow, rule.status) == (workflow, status) for rule in self.list())
        self._engine.act(
            retention.remove_rule, workflow, status, namespace=self._engine.namespace, actor=actor, reason=reason
        )
        return had

    def sweep(self) -> int:
        """Delete now all runs that are due, in small transactions. Returns the number of runs and old ticks deleted."""
        return sweep(self._engine)
