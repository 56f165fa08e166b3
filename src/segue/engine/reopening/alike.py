"""How the rows of steps that begin anew are written: very many that become the same by one statement that names them.

Such steps of a run that goes on are not locked before. Those that are not ready change only under the run's lock. Those
that are ready may be claimed until they are written: the statement leaves out what is ready no more, and counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from segue.store.protocol import Later, Row, Transaction

ALIKE = 1000
"""Fewer are written as rows: that is as fast, and takes fewer statements."""

MOST_SPANS = 8

STEP, STATUS, GATE, READY_AT, ATTEMPT = 1, 5, 6, 7, 8  # in a row of `reset_steps`
_COLUMNS = (
    "is_emptied", "is_join", "rule", "status", "gate", "ready_at", "waiting_on", "failed_above", "skipped_above", "lane"
)  # fmt: skip


class Alike(NamedTuple):
    """Steps that become the same."""

    common: dict[str, Any]
    steps: list[int]
    were_ready: bool

    def but(self, steps: set[int]) -> Alike:
        """All of these but some."""
        return self._replace(steps=[step for step in self.steps if step not in steps])


class Resets:
    """The rows of steps that begin anew, sorted by how they are written."""

    def __init__(
        self, rows: Iterable[Row], was_ready: Callable[[int], bool], *, alone: frozenset[int] | set[int]
    ) -> None:
        """Steps in `alone` are not put together with others."""
        together: dict[Row, list[Row]] = {}
        self._others: dict[int, Row] = {}
        for row in rows:
            if row[STEP] in alone:
                self._others[row[STEP]] = row
            else:
                common = (was_ready(row[STEP]), *row[2:ATTEMPT], *row[ATTEMPT + 1 :])
                together.setdefault(common, []).append(row)
        self._alike: list[Alike] = []
        for (were_ready, *same), those in together.items():
            if len(those) < ALIKE:
                self._others |= {row[STEP]: row for row in those}
            else:
                said = dict(zip(_COLUMNS, same, strict=True))
                self._alike.append(Alike(said, [row[STEP] for row in those], were_ready))

    @property
    def counted(self) -> set[int]:
        """The steps that need not be locked before they are written: it is counted how many were still ready."""
        return {step for alike in self._alike if alike.were_ready for step in alike.steps}

    def replace(self, rows: Sequence[Row]) -> None:
        """Let other rows stand for these steps."""
        if rows:
            new = {row[STEP]: row for row in rows}
            self._alike = [alike.but(set(new)) for alike in self._alike]
            self._others |= new

    def write(self, tx: Transaction, run_id: str) -> bool:
        """Write them; False when a step that was ready is ready no more, and nothing of it may be committed."""
        counts: list[tuple[Later, int]] = []  # of what was ready
        for common, steps, were_ready in self._alike:
            statements = ("reset_ready_span", "reset_ready_alike") if were_ready else ("reset_span", "reset_alike")
            for later, count in said_of(tx, *statements, run_id, steps, **common):
                if were_ready:
                    counts.append((later, count))
        tx.each("reset_steps", [self._others[step] for step in sorted(self._others)])
        return all(row[0] == count for later, count in counts for row in later.rows())


def said_of(
    tx: Transaction, of_span: str, of_steps: str, run_id: str, steps: Sequence[int], **parameters: Any
) -> list[tuple[Later, int]]:
    """Say a statement about steps, in ascending order: for each span of numbers when there are few, or by their list.

    Returns what comes of each, and how many steps it is about. To look up a hundred thousand numbers takes a tenth of a
    second or two.
    """
    spans = spans_of(steps)
    if not spans:
        return [(tx.later(of_steps, run_id=run_id, steps=list(steps), **parameters), len(steps))]
    return [
        (tx.later(of_span, run_id=run_id, first=first, last=last, **parameters), last - first + 1)
        for first, last in spans
    ]


def spans_of(steps: Sequence[int]) -> list[tuple[int, int]] | None:
    """The first and last number of each span; None when there are many."""
    spans: list[tuple[int, int]] = []
    first = 0
    while first < len(steps):
        if len(spans) == MOST_SPANS:
            return None
        # The numbers ascend, so they follow one another up to where they begin to be ahead of their places.
        ahead = steps[first] - first
        end = bisect_right(range(first, len(steps)), ahead, key=lambda at: steps[at] - at) + first
        spans.append((steps[first], steps[end - 1]))
        first = end
    return spans
