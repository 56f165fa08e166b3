"""Why limits and fair shares hold a step or run back: the limit, its size, who has its places, when it continues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from segue.engine.limiting.limit_rows import (
    LimitRow,
    count_taken,
    lane_or_none,
    limit_key_columns,
    read_buckets,
    uses_of,
    uses_or_none,
)  # fmt: skip
from segue.engine.limiting.places import Held, LimitKey, Places
from segue.engine.stored import moment_of
from segue.errors import SerializationError
from segue.plan.graph import LimitTerms
from segue.plan.lanes import read_lane
from segue.plan.namespaces import bare
from segue.store.protocol import Transaction
from segue.times import clock_time

HOLDERS_NAMED = 3
HOLDERS_LOOKED_AT = 2000


class Kind(StrEnum):
    """What holds it back."""

    PLACES = "places"
    RATE = "rate"
    SHARE = "share"


class Why(NamedTuple):
    """One reason that holds a step back, in words."""

    kind: Kind
    text: str


MOST_COUNTED = 10_000_000
LANES_AT_ONCE = 200


class LimitsView:
    """The state of all limits at one moment, read when it is first needed. `lanes` are those of ready steps that are
    known: by run and step.
    """

    def __init__(
        self, tx: Transaction, now: datetime, lanes: Mapping[tuple[str, int], str | None] | None = None
    ) -> None:  # fmt: skip
        self._tx = tx
        self._now = now
        self._sent: dict[str, dict[str, int]] = {}
        self._lanes = dict(lanes or {})
        self._read_places: dict[frozenset[LimitKey], Places] = {}

    def sent_of_queue(self, executor: str, queue: str) -> int:
        """How many steps of a queue, as it is stored, were sent to an executor and have not begun."""
        if executor not in self._sent:
            self._sent[executor] = dict(self._tx.all("sent_by_queue", executor=executor, limit=MOST_COUNTED))
        return self._sent[executor].get(queue, 0)

    def of_step(self, run_id: str, step: int, queue: str, task: str | None) -> list[Why]:
        """The reasons that hold back a ready step; empty if it only waits for a worker."""
        lane = self._lane(run_id, step)
        if lane is None and not self._binding:
            return []
        if lane is not None and read_lane(lane).task != task:
            raise SerializationError(
                f"its lane {lane[:80]!r} is of another task; the row was changed by hand or damaged"
            )
        uses = uses_of(queue, task, lane, self._binding)
        places = self._places(frozenset((use.limit, use.key) for use in uses)) if uses else None
        whys = [self._why(places, held) for use in uses if places and (held := places.held([use])) is not None]
        if whys or lane is None:
            return whys
        return self._share(queue, read_lane(lane).share)

    def of_run(self, run_id: str) -> str | None:
        """Why a run is not admitted; None if it is, or needs no admission."""
        name, key, admitted_at, run_at = self._tx.all("limit_of_run", run_id=run_id)[0]
        if name is None or admitted_at is not None:
            return None
        begins = self._tx.datetime(run_at)
        if begins is not None and begins > self._now:
            return f"begins at {clock_time(begins, self._now)}, and then waits for the limit {_named(name, key)}"
        terms = self._terms.get(name)
        size = terms.concurrency if terms is not None and terms.concurrency is not None else None
        taken = self._tx.all("count_admitted", name=name, key=key)[0][0]
        before = self._tx.all("count_waiting_before", name=name, key=key, before=run_id, now=self._now)[0][0]
        if size is None or taken < size:
            text = f"waits to be admitted by the limit {_named(name, key)}, which has a free place: this takes seconds"
        else:
            rows = self._tx.all("admitted_runs", name=name, key=key, limit=HOLDERS_NAMED)
            holders = [f"run {id_} ({status}) since {self._moment(since)}" for id_, _, status, since in rows]
            text = f"waits to be admitted: {taken} of {size} places of the limit {_named(name, key)} are taken"
            text += _listed(holders, taken)
        if before:
            text += f"; {before} run{'s' if before > 1 else ''} before it wait{'' if before > 1 else 's'}"
        return text

    def _places(self, limit_keys: frozenset[LimitKey]) -> Places:
        """What is free of these; steps that need the same are looked at together."""
        found = self._read_places.get(limit_keys)
        if found is None:
            buckets = read_buckets(self._tx, self._tx.all("buckets", **limit_key_columns(limit_keys)), self._now)
            found = self._read_places[limit_keys] = Places(self._terms, self._taken, buckets, self._now)
        return found

    def _lane(self, run_id: str, step: int) -> str | None:
        """The lane of a ready step. Who asks about one of a run asks about those that follow it as well."""
        if (run_id, step) not in self._lanes:
            rows = self._tx.all("lanes_of_ready_steps", run_id=run_id, step=step, limit=LANES_AT_ONCE)
            self._lanes |= {(run_id, step): None} | {(run_id, number): lane for number, lane in rows}
        return self._lanes[run_id, step]

    @cached_property
    def _limits(self) -> list[LimitRow]:
        return [LimitRow(*row) for row in self._tx.all("list_limits")]

    @cached_property
    def _terms(self) -> dict[str, LimitTerms]:
        return {limit.name: limit.terms() for limit in self._limits}

    @cached_property
    def _binding(self) -> set[str]:
        return {limit.name for limit in self._limits if limit.binds_all}

    @cached_property
    def _taken(self) -> dict[LimitKey, int]:
        return count_taken(self._tx.all("taken_by_all"), self._binding)

    @cached_property
    def _running(self) -> list[tuple[set[LimitKey], str]]:
        """Running steps: the places that each holds, and its name."""
        return [
            (
                {(use.limit, use.key) for use in uses_or_none(queue, task, lane, self._binding)},
                f"{name} of run {run_id} on {worker or 'an unknown worker'}",
            )
            for run_id, name, queue, task, lane, _, worker in self._tx.all("holders", limit=HOLDERS_LOOKED_AT)
        ]  # fmt: skip

    def _why(self, places: Places, held: Held) -> Why:
        use, terms = held.use, self._terms[held.use.limit]
        called = _named(use.limit, use.key)
        if held.wait_seconds is not None:
            rate = f"{terms.rate:g} in {terms.period:g} s"
            if held.wait_seconds > 1e9:
                return Why(Kind.RATE, f"waits for the rate of the limit {called}, which lets nothing start ({rate})")
            at = self._moment(self._now + timedelta(seconds=held.wait_seconds))
            text = f"waits for the rate of the limit {called} ({rate}): the next start is at {at}"
            return Why(Kind.RATE, f"{text} (in {held.wait_seconds:.1f} s)")
        if not terms.concurrency:
            return Why(Kind.PLACES, f"waits for a place of the limit {called}, which has none: it is closed")
        taken = self._taken.get((use.limit, use.key), 0)
        needs = "a place" if use.cost == 1 else f"{use.cost} places"
        text = f"waits for {needs} of the limit {called}: {taken} of {terms.concurrency} are taken"
        holders = [name for limit_keys, name in self._running if (use.limit, use.key) in limit_keys]
        return Why(Kind.PLACES, text + _listed(holders[:HOLDERS_NAMED], len(holders)))

    def _share(self, queue: str, share: str | None) -> list[Why]:
        if share is None:
            return []
        waiting = [text for on, text, _ in self._tx.all("waiting_by_lanes") if on == queue]
        lanes = [lane for text in waiting if (lane := lane_or_none(text)) is not None]
        others = {lane.share for lane in lanes if lane.share is not None and lane.share != share}
        if not others:
            return []
        waits = "1 other key waits" if len(others) == 1 else f"{len(others)} other keys wait"
        text = f"waits for its fair share of queue {bare(queue)!r}: {waits} there, besides its key {share!r}"
        return [Why(Kind.SHARE, text)]

    def _moment(self, value: Any) -> str:
        moment = value if isinstance(value, datetime) else moment_of(self._tx, value)
        return clock_time(moment, self._now)


def _named(limit: str, key: str) -> str:
    return f"{bare(limit)!r} for {key!r}" if key else repr(bare(limit))


def _listed(names: Iterable[str], count: int) -> str:
    named = list(names)
    if not named:
        return ""
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return f", by {', '.join(named)}{more}"
