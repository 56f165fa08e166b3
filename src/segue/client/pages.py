"""The part of `Segue` that lists runs page by page, and says how far it looked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Unpack, cast
from uuid import UUID

import msgspec

from segue.client.given import guarded
from segue.client.listed import ListedRun, listed
from segue.client.selection import RunFilters, run_filter
from segue.engine.engine import Engine
from segue.engine.ids import moment_of_id
from segue.engine.views.look import RunInfo, run_infos
from segue.engine.views.select import Place, look_back
from segue.errors import ConfigError
from segue.given import shown
from segue.jsonable import Jsonable

_FORMAT = "%Y%m%dT%H%M%S.%fZ"


class RunPage(Jsonable, msgspec.Struct, frozen=True):
    """A page of runs. It may have less runs than were wanted, or none, while there are more to be found."""

    runs: tuple[ListedRun, ...]
    next: str | None  # give it as `cursor` for the next page; None: this was the last one
    looked_back_to: datetime | None = None  # the search stopped at this time, because it had looked at so many runs
    by_failure: bool = False  # the list is by the time of the failure, not by that of the creation


@guarded
class Paged:
    """The part of `Segue` that lists runs page by page."""

    namespace: str
    engine: Engine

    def pages(self, *, cursor: str | None = None, limit: int = 50, **chosen: Unpack[RunFilters]) -> RunPage:
        """A page of the runs that match, as for `select`, the newest first. For the next page give `next` as `cursor`.

        It looks at 20,000 runs at most. Where no index has the answer, as for rare arguments, a page may therefore have
        less runs than `limit`; then `looked_back_to` says how far it looked, and `next` continues from there.

        Runs are listed by the time of their failure if `failed_since` or `failed_until` is given, or if `status` is
        "failed" and there is no other condition besides the workflow, times and arguments. Example::

            page = segue.pages(status="failed", failed_since=an_hour_ago)
            while page.next:
                page = segue.pages(status="failed", failed_since=an_hour_ago, cursor=page.next)
        """
        wanted = run_filter(self.engine.store.now(), chosen, namespace=self.namespace)
        place = _place_of(cursor)
        if limit == 0:
            return RunPage((), cursor, None, wanted.is_about_failures)
        with self.engine.reading() as tx:
            found = look_back(tx, wanted, after=place, limit=limit)
            infos = {info.id: info for info in run_infos(tx, found.ids)}
        end = found.next if found.is_cut else None
        looked_back_to = None if end is None else (end.failed_at or moment_of_id(end.id))
        runs = tuple(listed(self.engine, infos[id_]) for id_ in found.ids if id_ in infos)
        return RunPage(runs, _cursor(found.next), looked_back_to, wanted.is_about_failures)


def is_by_failure(chosen: Mapping[str, Any]) -> bool:
    """Whether `pages` lists these runs by the time of their failure."""
    return run_filter(datetime.now(UTC), cast(RunFilters, chosen)).is_about_failures


def place_after(run: RunInfo, *, by_failure: bool) -> str:
    """The cursor for what follows a run in a list. Raises ConfigError for one that is not in the list."""
    if not by_failure:
        return run.id
    if run.finished_at is None:
        raise ConfigError(f"The run {run.id} is not in a list of failures: it is {run.status}.")
    return str(_cursor(Place(run.id, run.finished_at)))


def _cursor(place: Place | None) -> str | None:
    if place is None or place.failed_at is None:
        return None if place is None else place.id
    return f"{place.failed_at.astimezone(UTC).strftime(_FORMAT)}~{place.id}"


def _place_of(cursor: str | None) -> Place | None:
    """The place that a cursor, or the id of a run, means."""
    if cursor is None:
        return None
    time, tilde, id_ = cursor.rpartition("~")
    try:
        failed_at = datetime.strptime(time, _FORMAT).replace(tzinfo=UTC) if tilde else None
        return Place(str(UUID(id_)), failed_at)
    except ValueError:
        raise ConfigError(
            f"cursor={shown(cursor)} is no place in a list of runs. Give the `next` of the page before, or a run's id."
        ) from None
