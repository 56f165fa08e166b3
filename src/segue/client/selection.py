"""Many runs at once: chosen by a filter, and a verb said to each of them.

`segue.select(...)` gives a `Selection`. Nothing is read until it is used, and it is read anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, TypedDict
from uuid import UUID

import msgspec

from segue.clock import earlier
from segue.engine.control import cancel_run, pause_run, resume_run
from segue.engine.engine import Engine
from segue.engine.ids import first_id_at
from segue.engine.verbs import LIVE, Done, Verb
from segue.engine.views.select import FIRST_ID, LAST_ID, RunFilter, ids_of
from segue.errors import ConfigError, SegueError, StoreError
from segue.model import RunStatus
from segue.plan.labels import TAG, label_value
from segue.store.protocol import Store, Transaction

MANY = 5000  # ids in a page when nothing is done to them
RETRIED = (RunStatus.FAILED,)
"""The statuses of the runs that `retry` chooses by itself: who cancelled a run meant it."""


class RunFilters(TypedDict, total=False):
    """What runs may be chosen by; all that is given must hold."""

    workflow: str | None  # its full name
    status: str | Iterable[str] | None  # one of these
    tag: str | Iterable[str] | None  # all of these
    key: str | None
    older_than: timedelta | None  # created longer ago
    newer_than: timedelta | None
    error_type: str | None  # of the failure that decided: "TimeoutError"
    metadata: Mapping[str, Any] | None  # the run has it, or a step of it
    ids: Iterable[str] | None


class Applied(msgspec.Struct):
    """What came of a verb said to many runs."""

    changed: int = 0  # runs on which it had an effect
    unchanged: int = 0  # runs that were so already, or to which it means nothing
    errors: dict[str, str] = {}  # run id → why it could not be done

    def __len__(self) -> int:
        return self.changed + self.unchanged + len(self.errors)


class Selection:
    """Runs that match a filter; the newest first. Made by `segue.select(...)`.

    A verb is said to one run after another, each in a transaction of its own. So it never holds up others for long, may
    be interrupted at any time, and when it is said again it deals with what was left. Runs that are started meanwhile
    are not among them.

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
        """The ids of the runs, the newest first; ids that were given, as they were given."""
        return self._ids(self._chosen)

    def count(self) -> int:
        """How many they are now."""
        return sum(1 for _ in self.ids())

    def pause(self, *, stop_running: bool = False, actor: str | None = None, reason: str | None = None) -> Applied:
        """Let nothing new of them start; with `stop_running` what runs is ended, and starts again after `resume`."""
        return self.apply(partial(pause_run, stop_running=stop_running, actor=actor, reason=reason), among=LIVE)

    def resume(self, *, actor: str | None = None, reason: str | None = None) -> Applied:
        """Let those that are paused go on."""
        return self.apply(partial(resume_run, actor=actor, reason=reason), among=[RunStatus.PAUSED])

    def cancel(self, *, actor: str | None = None, reason: str | None = None) -> Applied:
        """End them: what has not begun never will, what runs is ended, finalizers still run."""
        return self.apply(partial(cancel_run, actor=actor, reason=reason), among=LIVE)

    def retry(self, *, actor: str | None = None, reason: str | None = None) -> Applied:
        """Run again whatever failed in those of them that failed; or in all of them, when statuses were chosen."""
        from segue.engine.reopening.retry import retry_run  # noqa: PLC0415 - keeps `import segue` quick; few processes retry

        among = RETRIED if self._chosen.statuses is None else tuple(RunStatus)
        return self.apply(partial(retry_run, actor=actor, reason=reason), among=among)

    def among(self, statuses: Iterable[RunStatus]) -> Selection:
        """Those of them that have one of these statuses. Runs that were named by their ids all stay."""
        if _is_named(self._chosen):
            return self
        wanted = tuple(status.value for status in statuses)
        if self._chosen.statuses is not None:
            wanted = tuple(status for status in wanted if status in self._chosen.statuses)
        return Selection(self._engine, msgspec.structs.replace(self._chosen, statuses=wanted))

    def apply(
        self, verb: Verb, *, among: Iterable[RunStatus], on_each: Callable[[str, Done | SegueError], None] | None = None
    ) -> Applied:
        """Say a verb of the engine, `(store, tx, run_id, now) -> Done`, to each run that has one of these statuses.

        `on_each` is called with the id and what came of it. What cannot be done to one run is noted and the next one
        taken; an error of the database ends it, with what was done until then done.
        """
        applied = Applied()
        engine = self._engine
        for run_id in self.among(among).ids():
            came: Done | SegueError
            try:
                came = engine.act(partial(_say, verb, engine.store, run_id))
            except StoreError:
                raise
            except SegueError as error:
                came = error
                applied.errors[run_id] = str(error)
            else:
                applied.changed += came.changed
                applied.unchanged += not came.changed
            if on_each is not None:
                on_each(run_id, came)
        return applied

    def _ids(self, chosen: RunFilter) -> Iterator[str]:
        if _is_named(chosen):
            return iter(dict.fromkeys(chosen.ids or ()))
        return ids_of(self._engine, chosen, page=MANY)


def _say(verb: Verb, store: Store, run_id: str, tx: Transaction, now: datetime) -> Done:
    return verb(store, tx, run_id, now)


def run_filter(now: datetime, chosen: RunFilters) -> RunFilter:
    """What was asked, as the engine takes it; raises ConfigError for what cannot be."""
    unknown = sorted(chosen.keys() - RunFilters.__annotations__.keys())
    if unknown:
        known = ", ".join(sorted(RunFilters.__annotations__))
        raise ConfigError(f"Runs cannot be chosen by {', '.join(unknown)}; they can by {known}.")
    older_than, newer_than = _age("older_than", chosen), _age("newer_than", chosen)
    return RunFilter(
        statuses=_statuses(chosen.get("status")),
        workflow=chosen.get("workflow"),
        key=chosen.get("key"),
        error_type=chosen.get("error_type"),
        labels=(*((TAG, tag) for tag in _several(chosen.get("tag"))), *_searched(chosen.get("metadata") or {})),
        since=FIRST_ID if newer_than is None else first_id_at(earlier(now, newer_than)),
        before=LAST_ID if older_than is None else first_id_at(earlier(now, older_than)),
        ids=_ids(chosen.get("ids")),
    )


def _age(name: Literal["older_than", "newer_than"], chosen: RunFilters) -> timedelta | None:
    given = chosen.get(name)
    if given is not None and not isinstance(given, timedelta):
        raise ConfigError(f"{name}={given!r} is no length of time. Give a timedelta, for example timedelta(days=2).")
    return given


def _ids(given: Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    try:
        return tuple(str(UUID(id_)) for id_ in _several(given))
    except (ValueError, AttributeError, TypeError):
        raise ConfigError(f"ids={given!r}: not all of these are ids of runs. `segue runs --json` has them.") from None


def _statuses(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    for word in _several(given):
        if word not in tuple(RunStatus):
            raise ConfigError(f"{word!r} is no status of a run. Those are: {', '.join(RunStatus)}.")
    return tuple(RunStatus(word).value for word in _several(given))


def _several(given: str | Iterable[str] | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _searched(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in metadata.items():
        text = label_value(value)
        if text is None:
            raise ConfigError(
                f"metadata={{{name!r}: {value!r}}} cannot be searched; search by a text, a number, a boolean or None."
            )
        yield name, text


def _is_named(chosen: RunFilter) -> bool:
    """Whether nothing is asked but that these be the runs: then one that is not there is an error, not a gap."""
    return chosen.ids is not None and chosen == RunFilter(ids=chosen.ids)
