"""Retention: how long runs that have ended are kept, by workflow and status, and their deletion little by little.

The rule that counts is the most specific: of the workflow and status, of the workflow, of the status, of all; without
any, runs are kept for 30 days. Promises: a run that has not ended is never deleted; a transaction deletes some hundred
runs or some thousand steps; a sweep in which nothing is due costs a few index look-ups for each workflow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from segue.clock import earlier
from segue.engine.chores import PRUNE_AT_ONCE, delete_runs
from segue.engine.engine import Engine
from segue.engine.ids import first_id_at
from segue.errors import ConfigError
from segue.model import FINAL_RUN_STATUSES
from segue.store.protocol import Transaction

ALL = ""
DEFAULT_DAYS = 30
MOST_KEPT = 2**31 - 1
STEPS_AT_ONCE = 5000
TICKS_AT_ONCE = 1000
WALKED_AT_ONCE = 20_000  # runs that are looked at in one transaction
MOMENT_SECONDS = 0.1
REMEMBERED_SECONDS = 3600.0
FIRST_ID = "00000000-0000-0000-0000-000000000000"

Workflows = list[str]


class Rule(msgspec.Struct, frozen=True):
    """What is kept of the final runs of a workflow and status; of all of them where that is ''."""

    workflow: str = ALL
    status: str = ALL
    max_age: float | None = None  # seconds since their end; None: for ever
    max_count: int | None = None  # the newest of each workflow; None: any number

    @property
    def keeps_everything(self) -> bool:
        """Whether nothing is ever deleted by it."""
        return self.max_age is None and self.max_count is None


BUILT_IN = Rule(max_age=timedelta(days=DEFAULT_DAYS).total_seconds())
"""What counts when nobody said anything."""


class Portion(msgspec.Struct, frozen=True):
    """Runs of one workflow to which one rule applies."""

    workflow: str
    statuses: tuple[str, ...]
    rule: Rule


Walked = dict[Portion, str]
"""Up to which run nothing is left to delete."""


def list_rules(tx: Transaction) -> list[Rule]:
    """The rules that somebody made, the general ones first."""
    return [Rule(*row) for row in tx.all("retention_rules")]


def set_rule(tx: Transaction, rule: Rule) -> None:
    """Make a rule, or change it; raises ConfigError when it makes no sense."""
    check_status(rule.status)
    if rule.workflow != ALL and not rule.workflow.isprintable():
        raise ConfigError(
            f"workflow={rule.workflow!r} is no name of a workflow: it has characters that are not printable."
        )
    if rule.max_age is not None and not 0 <= rule.max_age < float("inf"):
        raise ConfigError(f"max_age={rule.max_age!r} is no length of time. Give 0 or more, or None to keep for ever.")
    if rule.max_count is not None and not 0 <= rule.max_count <= MOST_KEPT:
        raise ConfigError(
            f"max_count={rule.max_count!r} is no number of runs. Give 0 to {MOST_KEPT:,}, or None for any number."
        )
    tx.all("put_retention_rule", **msgspec.structs.asdict(rule))


def remove_rule(tx: Transaction, workflow: str, status: str) -> bool:
    """Remove a rule; False when there is none."""
    check_status(status)
    if workflow != ALL and not workflow.isprintable():
        return False  # no rule is for such a name
    return bool(tx.all("remove_retention_rule", workflow=workflow, status=status))


def check_status(status: str) -> None:
    """Raise ConfigError unless runs may have ended so; '' stands for all."""
    if status != ALL and status not in set(FINAL_RUN_STATUSES):
        known = ", ".join(sorted(FINAL_RUN_STATUSES))
        raise ConfigError(f"status={status!r}: only runs that have ended are deleted. Those are {known}; '' means all.")


def rule_for(rules: Iterable[Rule], workflow: str, status: str) -> Rule:
    """The rule that counts for the runs of a workflow that ended so."""
    known = {(rule.workflow, rule.status): rule for rule in rules}
    for where in ((workflow, status), (workflow, ALL), (ALL, status), (ALL, ALL)):
        if where in known:
            return known[where]
    return BUILT_IN


def portions(rules: Sequence[Rule], workflow: str) -> list[Portion]:
    """The statuses of a workflow, those of which one rule counts together."""
    shared: dict[Rule, list[str]] = {}
    for status in sorted(FINAL_RUN_STATUSES):
        shared.setdefault(rule_for(rules, workflow, status), []).append(str(status))
    return [Portion(workflow, tuple(found), rule) for rule, found in shared.items() if not rule.keeps_everything]


def sweep(engine: Engine) -> int:
    """Delete what is due, all of it, in small transactions; returns how many runs, ticks and events that were."""
    total = 0
    while deleted := sum(_Sweep(engine, {}).steps()):
        total += deleted
    return total


class Sweeper:
    """Sweeps little by little, so that whoever does it can do other things between.

    It remembers for an hour up to where nothing is left to delete, so that runs which are kept longer than others of
    their workflow are not looked at in every sweep.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._walked: Walked = {}
        self._forget_at = 0.0
        self._steps: Iterator[int] | None = None
        self._deleted = 0

    def go_on(self, engine: Engine) -> int:
        """Sweep for a moment; 0 when a whole sweep found nothing to delete."""
        if self._steps is None:
            if self._monotonic() >= self._forget_at:
                self._walked.clear()
                self._forget_at = self._monotonic() + REMEMBERED_SECONDS
            self._steps, self._deleted = _Sweep(engine, self._walked).steps(), 0
        end = self._monotonic() + MOMENT_SECONDS
        for deleted in self._steps:
            self._deleted += deleted
            if deleted or self._monotonic() >= end:
                return 1
        self._steps = None
        return self._deleted  # something went, so there may be more


class _Sweep:
    """One look at every workflow and schedule."""

    def __init__(self, engine: Engine, walked: Walked) -> None:
        self._engine = engine
        self._walked = walked

    def steps(self) -> Iterator[int]:
        """How many were deleted in each transaction."""
        engine = self._engine
        with engine.reading() as tx:
            rules = list_rules(tx)
            workflows: Workflows = [row[0] for row in tx.all("workflows_of_runs")] if rules else []
            schedules = [row[0] for row in tx.all("schedules_of_ticks")]
        if not rules:
            yield engine.prune(older_than=timedelta(days=DEFAULT_DAYS))
        for workflow in workflows:
            for portion in portions(rules, workflow):
                yield from self._portion(portion)
        general = rule_for(rules, ALL, ALL)
        if general.max_age is not None:
            for schedule in schedules:
                yield engine.act(partial(_prune_ticks, schedule, general.max_age))
            yield engine.act(partial(_prune_events, general.max_age))
        if rules:
            engine.act(_prune_workers)

    def _portion(self, portion: Portion) -> Iterator[int]:
        if portion.rule.max_count is not None:
            yield self._engine.act(partial(_prune_surplus, portion))
        is_done = portion.rule.max_age is None
        while not is_done:
            since = self._walked.get(portion, FIRST_ID)
            deleted, self._walked[portion], is_done = self._engine.act(partial(_prune_aged, portion, since))
            yield deleted


def _prune_surplus(portion: Portion, tx: Transaction, now: datetime) -> int:
    rows = tx.all(
        "surplus_runs", workflow=portion.workflow, statuses=list(portion.statuses), keep=portion.rule.max_count,
        limit=PRUNE_AT_ONCE,
    )  # fmt: skip
    return delete_runs(tx, _some(rows))


def _prune_aged(portion: Portion, since: str, tx: Transaction, now: datetime) -> tuple[int, str, bool]:
    """Look at some thousand runs after `since`. Returns how many went, from where to go on, whether that is the end."""
    before = earlier(now, portion.rule.max_age or 0.0)
    horizon = first_id_at(before)
    found = tx.all("walk_end", workflow=portion.workflow, since=since, horizon=horizon, walk=WALKED_AT_ONCE)
    end = str(found[0][0]) if found else horizon
    rows = tx.all(
        "aged_runs", workflow=portion.workflow, statuses=list(portion.statuses), since=since, until=end, before=before,
        limit=PRUNE_AT_ONCE,
    )  # fmt: skip
    chosen = _some(rows)
    deleted = delete_runs(tx, chosen)
    if len(rows) == PRUNE_AT_ONCE or len(chosen) < len(rows):
        return deleted, since, False
    return deleted, max(since, end), not found


def _some(runs: Iterable[Sequence[Any]]) -> list[str]:
    """The first of these (id, steps), as many as have few enough steps together; one at least."""
    chosen: list[str] = []
    steps = 0
    for run_id, count in runs:
        if chosen and steps + count > STEPS_AT_ONCE:
            break
        steps += count
        chosen.append(str(run_id))
    return chosen


def _prune_ticks(schedule: str, max_age: float, tx: Transaction, now: datetime) -> int:
    before = earlier(now, max_age)
    return len(tx.all("prune_ticks_of", name=schedule, before=before, limit=TICKS_AT_ONCE))


def _prune_events(max_age: float, tx: Transaction, now: datetime) -> int:
    before = first_id_at(earlier(now, max_age))
    return len(tx.all("prune_events_of_no_run", before=before, limit=TICKS_AT_ONCE))


def _prune_workers(tx: Transaction, now: datetime) -> None:
    tx.all("prune_workers", before=now - timedelta(days=DEFAULT_DAYS))
