"""Writes the rows of steps that are reset. Very many steps with equal rows are written by one statement.

Such steps are not locked first if their run has not ended. A step that is not ready changes only under the run's lock.
A ready one may be claimed until it is written: the statement skips steps that are no longer ready, and counts the rest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from segue.store.protocol import Later, Transaction

ALIKE = 1000
"""Fewer steps are written row by row: that is as fast, and takes fewer statements."""

MOST_SPANS = 8


class ResetRow(NamedTuple):
    """A row of `reset_steps`."""

    run_id: str
    step: int
    is_emptied: bool  # the plan that its task returned is discarded
    is_join: bool
    rule: str
    status: str
    gate: str | None
    ready_at: Any  # as the database stores times
    attempt: int
    waiting_on: int
    failed_above: int
    skipped_above: int
    lane: str | None


_COLUMNS = tuple(name for name in ResetRow._fields if name not in ("run_id", "step", "attempt"))
_common_of = attrgetter(*_COLUMNS)


class Alike(NamedTuple):
    """Steps that get equal rows."""

    common: dict[str, Any]
    steps: list[int]
    were_ready: bool

    def without(self, steps: set[int]) -> Alike:
        """The same, except for some steps."""
        return self._replace(steps=[step for step in self.steps if step not in steps])


class Resets:
    """The rows of steps that are reset, grouped by the statement that writes them."""

    def __init__(
        self, rows: Iterable[ResetRow], was_ready: Callable[[int], bool], *, alone: frozenset[int] | set[int]
    ) -> None:
        """Steps in `alone` are written row by row."""
        together: dict[tuple[Any, ...], list[ResetRow]] = {}
        self._others: dict[int, ResetRow] = {}
        for row in rows:
            if row.step in alone:
                self._others[row.step] = row
            else:
                together.setdefault((was_ready(row.step), *_common_of(row)), []).append(row)
        self._alike: list[Alike] = []
        for (were_ready, *same), those in together.items():
            if len(those) < ALIKE:
                self._others |= {row.step: row for row in those}
            else:
                columns = dict(zip(_COLUMNS, same, strict=True))
                self._alike.append(Alike(columns, [row.step for row in those], were_ready))

    @property
    def counted(self) -> set[int]:
        """The steps that need no lock before the write, because the statement counts those that are still ready."""
        return {step for alike in self._alike if alike.were_ready for step in alike.steps}

    def replace(self, rows: Sequence[ResetRow]) -> None:
        """Replace the rows of these steps."""
        if rows:
            new = {row.step: row for row in rows}
            self._alike = [alike.without(set(new)) for alike in self._alike]
            self._others |= new

    def write(self, tx: Transaction, run_id: str) -> bool:
        """Write them; False if a step that was ready no longer is. Then the transaction must not be committed."""
        counts: list[tuple[Later, int]] = []  # for steps that were ready
        for common, steps, were_ready in self._alike:
            statements = ("reset_ready_span", "reset_ready_alike") if were_ready else ("reset_span", "reset_alike")
            for later, count in send_for_steps(tx, *statements, run_id, steps, **common):
                if were_ready:
                    counts.append((later, count))
        tx.each("reset_steps", [self._others[step] for step in sorted(self._others)])
        return all(row[0] == count for later, count in counts for row in later.rows())


def send_for_steps(
    tx: Transaction, by_span: str, by_list: str, run_id: str, steps: Sequence[int], **parameters: Any
) -> list[tuple[Later, int]]:
    """Send a statement for steps in ascending order: once for each span of numbers if there are few, or with a list.

    Returns each result with the number of steps that the statement covers. Spans are faster: looking up a hundred
    thousand numbers takes 0.1 to 0.2 seconds.
    """
    spans = spans_of(steps)
    if not spans:
        return [(tx.later(by_list, run_id=run_id, steps=list(steps), **parameters), len(steps))]
    return [
        (tx.later(by_span, run_id=run_id, first=first, last=last, **parameters), last - first + 1)
        for first, last in spans
    ]


def spans_of(steps: Sequence[int]) -> list[tuple[int, int]] | None:
    """The first and last number of each span; None if there are many spans."""
    spans: list[tuple[int, int]] = []
    first = 0
    while first < len(steps):
        if len(spans) == MOST_SPANS:
            return None
        # The numbers ascend, so number minus index is constant within a span and grows at its end.
        ahead = steps[first] - first
        end = bisect_right(range(first, len(steps)), ahead, key=lambda at: steps[at] - at) + first
        spans.append((steps[first], steps[end - 1]))
        first = end
    return spans
