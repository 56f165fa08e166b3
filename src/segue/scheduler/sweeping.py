"""Deletes runs that were kept long enough, with their ticks and events, in small transactions.

Promises: a run that has not ended is never deleted; a rule that cannot be read keeps its runs, and the other rules
apply; a transaction deletes some hundred runs or some thousand steps; a sweep in which nothing is due costs a few index
look-ups for each workflow. The rules are in `segue.engine.retention`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from segue.clock import earlier
from segue.engine.act import Act
from segue.engine.chores import PRUNE_AT_ONCE, delete_runs, delete_steps, some_of
from segue.engine.engine import Engine
from segue.engine.ids import first_id_at
from segue.engine.retention import ALL, DEFAULT_DAYS, Portion, list_rules, portions, rule_for, rule_of
from segue.engine.scope import OF_ALL
from segue.observing.harmless_log import get_logger
from segue.plan.namespaces import DEFAULT, beside, is_in, namespace_of, stored

TICKS_AT_ONCE = 1000
WALKED_AT_ONCE = 20_000  # runs that are read in one transaction
MOMENT_SECONDS = 0.1
REMEMBERED_SECONDS = 3600.0
FIRST_ID = "00000000-0000-0000-0000-000000000000"

Workflows = list[str]
Walked = dict[Portion, str]
"""The run up to which nothing is left to delete."""

logger = get_logger("segue.chores")


def sweep(engine: Engine) -> int:
    """Delete everything that is due in the engine's namespace, in small transactions.

    Returns the number of runs, ticks and events deleted.
    """
    total = 0
    while deleted := sum(_Sweep(engine, {}, engine.prefix).steps()):
        total += deleted
    return total


class Sweeper:
    """Sweeps in small portions, so that the caller can do other work in between.

    It remembers for an hour up to which run nothing is left to delete, so that a sweep does not read runs again that
    are kept longer than others of their workflow.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._walked: Walked = {}
        self._forget_at = 0.0
        self._steps: Iterator[int] | None = None
        self._deleted = 0

    def go_on(self, engine: Engine) -> int:
        """Sweep for a moment. 0 if a whole sweep found nothing to delete."""
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
        return self._deleted  # some were deleted, so there may be more


class _Sweep:
    """One pass over every workflow and schedule."""

    def __init__(self, engine: Engine, walked: Walked, prefix: str | None = None) -> None:
        self._engine = engine
        self._walked = walked
        self._prefix = prefix  # of the namespace that is swept; None: all

    def steps(self) -> Iterator[int]:
        """The number of rows deleted in each transaction."""
        engine = self._engine
        with engine.reading() as tx:
            rules = list_rules(tx)
            self._tell_unreadable(tx.all("retention_rules"))
            found = [row[0] for row in tx.all("workflows_of_runs")] if rules else []
            workflows: Workflows = [workflow for workflow in found if is_in(self._prefix, workflow)]
            schedules = [row[0] for row in tx.all("schedules_of_ticks") if is_in(self._prefix, row[0])]
        yield from self._discards()  # of a sweep that ended half-way
        if not rules:
            yield engine.prune(older_than=timedelta(days=DEFAULT_DAYS), at_once=False, prefix=self._prefix)
        for workflow in workflows:
            for portion in portions(rules, workflow):
                yield from self._apart(portion)
        for schedule in schedules:
            general = rule_for(rules, beside(schedule, ALL), ALL)
            if general.max_age is not None:
                yield engine.act(_prune_ticks, schedule, general.max_age)
        mine = [] if self._prefix is None else [namespace_of(self._prefix)]
        for namespace in mine or sorted({DEFAULT, *map(namespace_of, schedules)}):
            general = rule_for(rules, stored(namespace, ALL), ALL)
            if general.max_age is not None:
                yield engine.act(_prune_events, namespace, general.max_age)
        yield from self._discards()

    def _discards(self) -> Iterator[int]:
        """Delete the steps of large runs whose rows are deleted; those runs were counted."""
        while self._engine.act(delete_steps):
            yield 0

    def _apart(self, portion: Portion) -> Iterator[int]:
        """One portion; an error in it does not delay the others."""
        try:
            yield from self._portion(portion)
        except OF_ALL:
            raise
        except Exception as error:
            if self._engine.once.is_news(("retention", portion.workflow, portion.statuses)):
                logger.exception("runs of %s that are due cannot be deleted: %s", portion.workflow, error)

    def _tell_unreadable(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            if rule_of(row) is None and self._engine.once.is_news(("retention rule", *row[:2])):
                logger.warning(
                    "the retention rule for workflow %r and status %r cannot be read, so its runs are kept. Its "
                    "row was changed by hand or damaged; set the rule again, or remove it", *row[:2],
                )  # fmt: skip

    def _portion(self, portion: Portion) -> Iterator[int]:
        if portion.rule.max_count is not None:
            yield self._engine.act(_prune_surplus, portion)
        is_done = portion.rule.max_age is None
        while not is_done:
            since = self._walked.get(portion, FIRST_ID)
            deleted, self._walked[portion], is_done = self._engine.act(_prune_aged, portion, since)
            yield deleted


def _prune_surplus(act: Act, portion: Portion) -> int:
    rows = act.tx.all(
        "surplus_runs", workflow=portion.workflow, statuses=list(portion.statuses), keep=portion.rule.max_count,
        limit=PRUNE_AT_ONCE,
    )  # fmt: skip
    return delete_runs(act.tx, some_of(rows))


def _prune_aged(act: Act, portion: Portion, since: str) -> tuple[int, str, bool]:
    """Read some thousand runs after `since`. Returns how many were deleted, where to continue, and if it is the end."""
    before = earlier(act.now, portion.rule.max_age or 0.0)
    horizon = first_id_at(before)
    found = act.tx.all("walk_end", workflow=portion.workflow, since=since, horizon=horizon, walk=WALKED_AT_ONCE)
    end = str(found[0][0]) if found else horizon
    rows = act.tx.all(
        "aged_runs", workflow=portion.workflow, statuses=list(portion.statuses), since=since, until=end, before=before,
        limit=PRUNE_AT_ONCE,
    )  # fmt: skip
    chosen = some_of(rows)
    deleted = delete_runs(act.tx, chosen)
    if len(rows) == PRUNE_AT_ONCE or len(chosen) < len(rows):
        return deleted, since, False
    return deleted, max(since, end), not found


def _prune_ticks(act: Act, schedule: str, max_age: float) -> int:
    before = earlier(act.now, max_age)
    return len(act.tx.all("prune_ticks_of", name=schedule, before=before, limit=TICKS_AT_ONCE))


def _prune_events(act: Act, namespace: str, max_age: float) -> int:
    before = first_id_at(earlier(act.now, max_age))
    return len(act.tx.all("prune_events_of_no_run", namespace=namespace, before=before, limit=TICKS_AT_ONCE))
