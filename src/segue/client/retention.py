"""Retention, as users hold it: `segue.retention`."""

from __future__ import annotations

from datetime import timedelta

from segue.engine import retention
from segue.engine.engine import Engine
from segue.engine.retention import Rule

Rules = list[Rule]  # under a name, because a method is called `list`


class Retention:
    """How long runs that have ended are kept. Processes that do the chores delete them, little by little.

    The most specific rule counts: of a workflow and status, of a workflow, of a status, of all. Without any, runs are
    kept for 30 days. Example::

        segue.retention.set(max_age=timedelta(days=90))                                    # all runs
        segue.retention.set("shop.poll", max_age=timedelta(days=1), max_count=1000)        # those of one workflow
        segue.retention.set("shop.invoice", status="failed", max_age=None)                 # kept for ever
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> Rules:
        """The rules that somebody made."""
        with self._engine.reading() as tx:
            return retention.list_rules(tx)

    def get(self, workflow: str, status: str) -> Rule:
        """The rule that counts for the runs of a workflow that ended so."""
        retention.check_status(status)
        return retention.rule_for(self.list(), workflow, status)

    def set(
        self, workflow: str = "", status: str = "", *, max_age: timedelta | float | None = None,
        max_count: int | None = None,
    ) -> Rule:  # fmt: skip
        """Make a rule, or change it. '' means all workflows, or all statuses.

        A run is deleted when it ended longer ago than `max_age` (a timedelta or seconds; None: for ever), or when there
        are `max_count` newer ones of its workflow to which the same rule applies (None: any number).
        """
        seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
        rule = Rule(workflow, status, None if seconds is None else float(seconds), max_count)
        self._engine.act(lambda tx, now: retention.set_rule(tx, rule))
        return rule

    def remove(self, workflow: str = "", status: str = "") -> bool:
        """Remove a rule, so that a more general one counts again; False when there is none."""
        had = any((rule.workflow, rule.status) == (workflow, status) for rule in self.list())
        self._engine.act(lambda tx, now: retention.remove_rule(tx, workflow, status))
        return had

    def sweep(self) -> int:
        """Delete now what is due by the rules, in small transactions; returns how many runs and old ticks that were."""
        return retention.sweep(self._engine)
