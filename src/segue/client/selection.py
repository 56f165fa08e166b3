"""Operations on many runs: a filter selects them, and a verb is applied to each.

`segue.select(...)` returns a `Selection`. It reads nothing until it is used, and reads again each time it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypedDict
from uuid import UUID

import msgspec

from segue.client.background import InBackground
from segue.client.conditions import argument_paths, bounds, origin_of, time_of
from segue.client.given import checked, guarded, mapping, texts_or_ids, whole_id
from segue.client.preview import Preview, preview_of
from segue.client.step import retrying
from segue.engine.bulk import RETRIED, id_after, is_named, say_to_each, with_statuses
from segue.engine.control import cancel_run, pause_run, resume_run
from segue.engine.engine import Engine
from segue.engine.halting import await_halts
from segue.engine.labels import label_run
from segue.engine.verbs import LIVE, Done, Verb
from segue.engine.views.select import LAST_ID, RunFilter, ids_of
from segue.errors import ConfigError, RunNotFoundError, SegueError
from segue.given import shown
from segue.jsonable import Jsonable
from segue.model import RunStatus
from segue.plan.labels import TAG, label_value
from segue.plan.namespaces import DEFAULT, prefix_of, stored

MANY = 5000  # ids in a page when nothing is done to them


class RunFilters(TypedDict, total=False):
    """The filters for runs. A run must match all that are given."""

    workflow: str | None  # the full name
    status: str | Iterable[str] | None  # one of these
    tag: str | Iterable[str] | None  # all of these
    key: str | None
    older_than: timedelta | None  # created longer ago
    newer_than: timedelta | None
    error_type: str | None  # of the failure that decided the outcome: "TimeoutError"
    metadata: Mapping[str, Any] | None  # of the run, or of one of its steps
    arguments: Mapping[str, Any] | None  # path → value: "customer.id", or "0" for the first positional argument
    since: datetime | None  # created at or after this time
    until: datetime | None  # created before this time
    failed_since: datetime | None  # failed at or after this time
    failed_until: datetime | None
    forked_from: str | None  # the id of a run: its forks
    id_prefix: str | None  # the beginning of their ids
    ids: Iterable[str] | None


class Applied(Jsonable, msgspec.Struct):
    """The effect of a verb on many runs."""

    changed: int = 0  # runs on which it had an effect
    unchanged: int = 0  # runs that were in that state already, or in one where the verb has no effect
    errors: dict[str, str] = {}  # run id → why the verb failed
    unconfirmed: list[str] = []  # workers of Celery that did not confirm a pause in time, and may still begin steps

    def __len__(self) -> int:
        return self.changed + self.unchanged + len(self.errors)


@guarded
class Selection:
    """Runs that match a filter, the newest first. Made by `segue.select(...)`.

    A verb is applied to one run after another, each in a separate transaction. It therefore never blocks other
    processes for long, and may be interrupted at any time: applying it again finishes the rest. Runs that are started
    meanwhile are not included.

    Example::

        segue.select(workflow="shop.nightly", tag="backfill").pause(reason="the warehouse is down")
    """

    def __init__(self, engine: Engine, chosen: RunFilter) -> None:
        self._engine = engine
        self._chosen = chosen

    def __repr__(self) -> str:
        asked = {name: value for name, value in msgspec.structs.asdict(self._chosen).items() if value}
        return f"<Selection {', '.join(f'{name}={value!r}' for name, value in asked.items() if value != LAST_ID)}>"

    def ids(self) -> Iterator[str]:
        """The ids of the runs, the newest first. Ids that were given stay in the given order."""
        return self._ids(self._chosen)

    def count(self) -> int:
        """The number of runs that match now."""
        return sum(1 for _ in self.ids())

    def pause(self, *, stop_running: bool = False, actor: str | None = None, reason: str | None = None) -> Applied:
        """Start none of their steps from now on; with `stop_running`, running ones end and restart after `resume`."""
        return self.apply(partial(pause_run, stop_running=stop_running, actor=actor, reason=reason), among=LIVE)

    def resume(self, *, actor: str | None = None, reason: str | None = None) -> Applied:
        """Continue those that are paused."""
        return self.apply(partial(resume_run, actor=actor, reason=reason), among=[RunStatus.PAUSED])

    def cancel(self, *, actor: str | None = None, reason: str | None = None) -> Applied:
        """End them: steps that have not begun never will, running steps are ended, finalizers still run."""
        return self.apply(partial(cancel_run, actor=actor, reason=reason), among=LIVE)

    def retry(self, *, fresh: bool = False, actor: str | None = None, reason: str | None = None) -> Applied:
        """Run again all steps that failed or were cancelled, in failed runs; in all runs if statuses were given.

        Their tasks go on from their checkpoints, or, with `fresh`, run from scratch.
        """
        among = RETRIED if self._chosen.statuses is None else tuple(RunStatus)
        return self.apply(retrying(fresh=fresh, actor=actor, reason=reason), among=among)

    def annotate(
        self, *, tags: Iterable[str] = (), without: Iterable[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> Applied:
        """Add tags to them, remove those in `without`, and set keys of their metadata; None removes a key."""
        verb = partial(label_run, tags=list(tags), without=list(without), metadata=metadata)
        return self.apply(verb, among=tuple(RunStatus))

    def among(self, statuses: Iterable[RunStatus]) -> Selection:
        """The runs among them that have one of these statuses. Runs that were given by their ids are all included."""
        wanted = _statuses(statuses) or ()
        return Selection(self._engine, with_statuses(self._chosen, wanted))

    def up_to(self, newest: str | UUID) -> Selection:
        """The runs among them that are not newer than this one, given by its whole id. A `Preview` has it.

        Example::

            selection = segue.select(workflow="shop.nightly", status="failed")
            seen = selection.preview("retry")
            if input(f"Retry {seen.count} runs? ") == "yes":
                selection.up_to(seen.newest_id).retry()
        """
        before = id_after(checked("up_to", "newest", newest, whole_id))
        chosen = self._chosen
        return Selection(self._engine, msgspec.structs.replace(chosen, before=min(before, chosen.before)))

    def preview(self, verb: str) -> Preview:
        """What a verb ("pause", "resume", "cancel", "retry", "annotate") would be applied to now. It changes nothing.

        Raises DefinitionError for another verb.
        """
        return preview_of(self._engine, self._chosen, verb)

    def in_background(self, *, key: str | None = None, queue: str | None = None) -> InBackground:
        """The same verbs, applied by a worker: each starts a run of `segue.bulk` and returns it.

        It goes on after a crash, shows its progress, can be cancelled, and touches no run that is newer than the
        newest one that matches now. With `key`, a second order under the same key starts nothing. It waits for a worker
        that works on `queue`, by default "default".

        Example::

            run = segue.select(workflow="shop.nightly").in_background().cancel(reason="wrong prices")
            run.wait().result()  # {"verb": "cancel", "changed": 104211, "unchanged": 3, "failed": 0, ...}
        """
        return InBackground(self._engine, self._chosen, key=key, queue=queue)

    def apply(
        self, verb: Verb, *, among: Iterable[RunStatus], on_each: Callable[[str, Done | SegueError], None] | None = None
    ) -> Applied:
        """Apply a verb of the engine, `(act, run_id) -> Done`, to each run that has one of these statuses.

        `on_each` is called with the id and the outcome. A verb that fails on one run is recorded, and the next run
        follows. An error of the database ends the loop; the changes made until then stay.
        """
        applied = Applied()
        paused: list[str] = []
        for run_id, came in self._say(verb, self.among(among).ids()):
            if isinstance(came, SegueError):
                applied.errors[run_id] = str(came)
            else:
                applied.changed += came.changed
                applied.unchanged += not came.changed
                if came.status == RunStatus.PAUSED:
                    paused.append(run_id)
            if on_each is not None:
                on_each(run_id, came)
        if paused:
            applied.unconfirmed = await_halts(self._engine, paused)
        return applied

    def _say(self, verb: Verb, run_ids: Iterator[str]) -> Iterator[tuple[str, Done | SegueError]]:
        foreign = self._foreign()
        for run_id in run_ids:
            if run_id in foreign:
                yield run_id, RunNotFoundError(f"No run has the id {run_id}.")
            else:
                yield from say_to_each(self._engine, verb, [run_id])

    def _foreign(self) -> set[str]:
        """The runs in other namespaces, among those that were given by their ids."""
        if self._chosen.prefix is None or not is_named(self._chosen):
            return set()
        everywhere = msgspec.structs.replace(self._chosen, prefix=None)
        return set(ids_of(self._engine, everywhere)) - set(ids_of(self._engine, self._chosen))

    def _ids(self, chosen: RunFilter) -> Iterator[str]:
        if is_named(chosen):
            return iter(dict.fromkeys(chosen.ids or ()))
        return ids_of(self._engine, chosen, page=MANY)


def run_filter(now: datetime, chosen: RunFilters, *, namespace: str = DEFAULT) -> RunFilter:
    """The filters as the engine takes them. Raises ConfigError for an invalid one."""
    unknown = sorted(chosen.keys() - RunFilters.__annotations__.keys())
    if unknown:
        known = ", ".join(sorted(RunFilters.__annotations__))
        raise ConfigError(f"Unknown filter for runs: {', '.join(unknown)}. Filters are: {known}.")
    workflow, key, error_type = (
        None if chosen.get(name) is None else checked("runs", name, chosen[name])
        for name in ("workflow", "key", "error_type")
    )
    since, before = bounds(now, chosen)
    return RunFilter(
        statuses=_statuses(chosen.get("status")),
        workflow=None if workflow is None else stored(namespace, workflow),
        key=key,
        error_type=error_type,
        labels=(*((TAG, tag) for tag in _several("tag", chosen.get("tag"))), *_searched(chosen.get("metadata"))),
        arguments=argument_paths(chosen.get("arguments")),
        forked_from=origin_of(chosen),
        since=since,
        before=before,
        failed_since=time_of("failed_since", chosen),
        failed_until=time_of("failed_until", chosen),
        ids=_ids(chosen.get("ids")),
        prefix=prefix_of(namespace),
    )


def _ids(given: Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    try:
        return tuple(str(UUID(str(id_))) for id_ in _several("ids", given))
    except ValueError:
        raise ConfigError(
            f"ids={shown(given)}: not all of these are ids of runs. `segue runs --json` shows whole ids."
        ) from None


def _statuses(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    words = _several("status", given)
    for word in words:
        if word not in tuple(RunStatus):
            raise ConfigError(f"{word!r} is not a status of a run. Choose from: {', '.join(RunStatus)}.")
    return tuple(RunStatus(word).value for word in words)


def _several(name: str, given: str | Iterable[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return tuple(checked("runs", name, [given] if isinstance(given, (str, UUID)) else given, texts_or_ids))


def _searched(metadata: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if metadata is None:
        return
    for name, value in checked("runs", "metadata", metadata, mapping).items():
        text = label_value(value)
        if text is None:
            raise ConfigError(
                f"metadata={{{shown(name)}: {shown(value)}}} cannot be searched. Search by a text, a number, a boolean "
                "or None."
            )
        yield name, text
