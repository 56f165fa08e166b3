"""What a verb for many runs would be applied to, for people to see before they confirm it. Reads only."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec

from segue.engine.bulk import narrowed
from segue.engine.engine import Engine
from segue.engine.views.look import RunInfo, run_infos
from segue.engine.views.select import RunFilter, page_of_ids
from segue.jsonable import Jsonable

MOST_COUNTED = 10_001
MOST_SORTED = 1000
FIRST = 10


class Preview(Jsonable, msgspec.Struct, frozen=True):
    """What a verb would be applied to. Made by `selection.preview(verb)`.

    `selection.up_to(preview.newest_id)` selects just these runs, as long as they still match.
    """

    verb: str
    count: int  # of the runs that match; 10,001 also means more
    newest_id: str | None  # None: no run matches
    newest_at: datetime | None  # when the newest of them was created
    oldest_at: datetime | None  # and the oldest; None if there are more than were counted
    workflows: dict[str, int]  # how many of the newest 1,000 are of each workflow, most first
    errors: dict[str, int]  # how many of the newest 1,000 have a failure of each type, most first
    first: tuple[RunInfo, ...]  # the newest ten

    @property
    def is_complete(self) -> bool:
        """Whether `count` is the number of all of them."""
        return self.count < MOST_COUNTED


def preview_of(engine: Engine, chosen: RunFilter, verb: str) -> Preview:
    """Look at the runs that a verb selects among these. Raises DefinitionError for an unknown verb."""
    with engine.reading() as tx:
        ids = page_of_ids(tx, narrowed(verb, chosen), limit=MOST_COUNTED)
        runs = run_infos(tx, ids[:MOST_SORTED])
        last = run_infos(tx, ids[-1:]) if len(ids) < MOST_COUNTED else []
    return Preview(
        verb=verb, count=len(ids), newest_id=ids[0] if ids else None,
        newest_at=runs[0].created_at if runs else None, oldest_at=last[0].created_at if last else None,
        workflows=dict(Counter(run.workflow for run in runs).most_common()),
        errors=dict(Counter(run.error.type for run in runs if run.error is not None).most_common()),
        first=tuple(runs[:FIRST]),
    )  # fmt: skip
