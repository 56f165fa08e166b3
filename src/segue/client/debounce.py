"""Debounce: many starts under one key within a window become one run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from segue.authoring import Task, Workflow, encode, to_plan
from segue.engine.bundles import MOST_STARTS, BundleTerms, Keep, NewStart, add_start
from segue.engine.engine import Engine
from segue.engine.ids import new_id
from segue.errors import ConfigError
from segue.plan.graph import RunTerms
from segue.plan.labels import with_terms

Seconds = float | timedelta


class Debounce(msgspec.Struct, frozen=True, kw_only=True):
    """How starts under one key are put together: `segue.start(..., debounce=Debounce(key="customer-42", window=5))`.

    The first start opens a window of `window` seconds; when it has passed, one run is started for all starts that came
    within. `keep` says with which arguments: those of the `"first"`, of the `"last"` (the default), or `"all"`: then
    each start gives one positional argument, and the run is given the list of them, in order. With `restarts` each
    start begins the window anew, but never beyond `longest` seconds after the first. `most` starts are put together
    at most; then the run starts at once. All of them get the same run back, which is `pending` until then.

    Example::

        for change in changes:
            segue.start(reindex, change.customer, debounce=Debounce(key=change.customer, window=30))
        segue.start(send_mails, mail, debounce=Debounce(key="mails", window=60, keep="all", most=500))
    """

    key: str
    window: Seconds
    keep: str = "last"
    restarts: bool = False
    longest: Seconds | None = None
    most: int = MOST_STARTS

    def terms(self) -> BundleTerms:
        """The same in the engine's words; raises ConfigError when something makes no sense."""
        if not _is_text(self.key):
            raise ConfigError(f"Debounce(key={self.key!r}) cannot tell starts apart. Give a text that is not empty.")
        if self.keep not in tuple(Keep):
            raise ConfigError(f"Debounce(keep={self.keep!r}) is not known. Choose one of: {', '.join(Keep)}.")
        if not 1 <= self.most <= MOST_STARTS:
            raise ConfigError(f"Debounce(most={self.most!r}) is out of range. Give 1 to {MOST_STARTS:,}.")
        window = _seconds("window", self.window)
        longest = None if self.longest is None else _seconds("longest", self.longest)
        if longest is not None and not self.restarts:
            raise ConfigError(
                "Debounce(longest=...) bounds a window that restarts. Add restarts=True, or leave it out."
            )
        return BundleTerms(self.key, window, Keep(self.keep), self.restarts, longest, self.most)


def debounced_start(
    engine: Engine,
    work: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    debounce: Debounce,
    terms: RunTerms | None,
) -> tuple[str, bool]:
    """Put a start to the others under its key; returns the id of the run that they become, and whether it is the first.

    Raises ConfigError, or PlanError for what could not be started when it is due.
    """
    how = debounce.terms()
    keeps_all = how.keep is Keep.ALL
    if keeps_all and (not isinstance(work, (Task, Workflow)) or len(args) != 1 or kwargs):
        raise ConfigError(
            'Debounce(keep="all") gives the run the list of what each start was given: start a task or workflow with '
            "exactly one positional argument."
        )
    # A list of one stands for the list that is to come: what is wrong is told now, not when nobody listens.
    plan = to_plan(work, [args[0]]) if keeps_all else to_plan(work, *args, **kwargs)
    if terms is not None:
        plan = with_terms(plan, terms)
    id_ = new_id(engine.store.now())
    start = NewStart(id_, plan, encode([list(args), kwargs]), keeps_all and isinstance(work, Workflow), terms)
    made = engine.act(lambda tx, now: add_start(engine.store, tx, start, how, now))
    return made, made == id_


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _seconds(name: str, value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 1e9:
        raise ConfigError(f"Debounce({name}={value!r}) is no time. Give more than 0 seconds, or a timedelta.")
    return float(seconds)
