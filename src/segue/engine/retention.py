"""Retention: the rules for how long runs that have ended are kept, by workflow and status.

The most specific rule applies: one for the workflow and status, then for the workflow, then for the status, then for
all; without a rule, runs are kept for 30 days. `segue.scheduler.sweeping` deletes the runs that are due.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from segue.engine.act import Act
from segue.engine.audit import record_change
from segue.errors import ConfigError
from segue.given import shown
from segue.jsonable import Jsonable
from segue.model import FINAL_RUN_STATUSES
from segue.plan.indexed import MOST_NAME_BYTES, name_problem
from segue.plan.namespaces import DEFAULT, bare, beside, is_in, namespace_of, prefix_of, stored
from segue.store.protocol import Transaction

ALL = ""
DEFAULT_DAYS = 30
MOST_KEPT = 2**31 - 1


class Rule(Jsonable, msgspec.Struct, frozen=True):
    """Which final runs of a workflow and status are kept; '' means all workflows, or all statuses."""

    workflow: str = ALL
    status: str = ALL
    max_age: float | None = None  # seconds since their end; None: forever
    max_count: int | None = None  # the newest of each workflow; None: any number
    namespace: str = DEFAULT

    @property
    def keeps_everything(self) -> bool:
        """Whether the rule deletes nothing."""
        return self.max_age is None and self.max_count is None


BUILT_IN = Rule(max_age=timedelta(days=DEFAULT_DAYS).total_seconds())
"""The rule that applies if there is no other."""


class Portion(msgspec.Struct, frozen=True):
    """Runs of one workflow to which one rule applies."""

    workflow: str
    statuses: tuple[str, ...]
    rule: Rule


def list_rules(tx: Transaction, *, prefix: str | None = None) -> list[Rule]:
    """The rules that were set, the general ones first. An unreadable rule keeps everything: see `rule_of`."""
    return [
        rule_of((workflow, status, *limits)) or Rule(bare(workflow), status, namespace=namespace_of(workflow))
        for workflow, status, *limits in tx.all("retention_rules")
        if is_in(prefix, workflow)
    ]


def rule_of(row: Sequence[Any]) -> Rule | None:
    """The rule of a row; None if its numbers are invalid: the row was changed by hand or damaged."""
    workflow, status, max_age, max_count = row
    is_sound = (max_age is None or (type(max_age) in (int, float) and 0 <= max_age < float("inf"))) and (
        max_count is None or (type(max_count) is int and 0 <= max_count <= MOST_KEPT)
    )
    return Rule(bare(workflow), status, max_age, max_count, namespace_of(workflow)) if is_sound else None


def set_rule(act: Act, rule: Rule, *, actor: str | None = None, reason: str | None = None) -> None:
    """Create or change a rule. Raises ConfigError for an invalid one."""
    check_status(rule.status)
    wrong = None if rule.workflow == ALL else name_problem(rule.workflow, MOST_NAME_BYTES)
    if wrong is None and not rule.workflow.isprintable():
        wrong = "contains unprintable characters"
    if wrong is not None:
        raise ConfigError(f"workflow={shown(rule.workflow)} is not a workflow name: it {wrong}.")
    if rule.max_age is not None and not 0 <= rule.max_age < float("inf"):
        raise ConfigError(f"max_age={rule.max_age!r} is not a duration. Give 0 or more, or None to keep forever.")
    if rule.max_count is not None and not 0 <= rule.max_count <= MOST_KEPT:
        raise ConfigError(
            f"max_count={rule.max_count!r} is not a number of runs. Give 0 to {MOST_KEPT:,}, or None for any number."
        )
    name = stored(rule.namespace, rule.workflow)
    if rule not in list_rules(act.tx):
        kept = {"status": rule.status, "max_age": rule.max_age, "max_count": rule.max_count}
        record_change(act, "retention.set", name, actor=actor, reason=reason, **kept)
    act.tx.all(
        "put_retention_rule", workflow=name, status=rule.status, max_age=rule.max_age,
        max_count=rule.max_count,
    )  # fmt: skip


def remove_rule(
    act: Act,
    workflow: str,
    status: str,
    *,
    namespace: str = DEFAULT,
    actor: str | None = None,
    reason: str | None = None,
) -> bool:
    """Remove a rule; False if it does not exist."""
    check_status(status)
    if workflow != ALL and not workflow.isprintable():
        return False  # no rule can have such a name
    name = stored(namespace, workflow)
    removed = bool(act.tx.all("remove_retention_rule", workflow=name, status=status))
    if removed:
        record_change(act, "retention.removed", name, actor=actor, reason=reason, status=status)
    return removed


def check_status(status: str) -> None:
    """Raise ConfigError unless this is a final status; '' means all."""
    if status != ALL and status not in set(FINAL_RUN_STATUSES):
        known = ", ".join(sorted(FINAL_RUN_STATUSES))
        raise ConfigError(f"status={status!r}: only runs that have ended are deleted. Those are {known}; '' means all.")


def rule_for(rules: Iterable[Rule], workflow: str, status: str) -> Rule:
    """The rule for runs of a workflow, by its stored name, with this status: a rule of its namespace."""
    known = {(f"{prefix_of(rule.namespace)}{rule.workflow}", rule.status): rule for rule in rules}
    every = beside(workflow, ALL)
    for where in ((workflow, status), (workflow, ALL), (every, status), (every, ALL)):
        if where in known:
            return known[where]
    return BUILT_IN


def portions(rules: Sequence[Rule], workflow: str) -> list[Portion]:
    """The statuses of a workflow, grouped by the rule that applies."""
    shared: dict[Rule, list[str]] = {}
    for status in sorted(FINAL_RUN_STATUSES):
        shared.setdefault(rule_for(rules, workflow, status), []).append(str(status))
    return [Portion(workflow, tuple(found), rule) for rule, found in shared.items() if not rule.keeps_everything]
