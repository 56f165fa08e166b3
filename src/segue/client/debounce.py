"""Debounce: many starts under one key within a window become one run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from segue.authoring import Task, Workflow, encode, to_plan
from segue.engine.debounce import MOST_STARTS, DebounceTerms, Keep, NewStart, add_start, hasten
from segue.engine.engine import Engine
from segue.errors import ConfigError, RunStateError
from segue.given import shown
from segue.plan.graph import NO_ARGUMENTS, RunTerms
from segue.plan.indexed import check_key
from segue.plan.labels import with_terms
from segue.plan.namespaces import plan_in

__all__ = ["Debounce", "Keep", "debounced_start"]

Seconds = float | timedelta


class Debounce(msgspec.Struct, frozen=True, kw_only=True):
    """How starts under one key are combined: `segue.start(..., debounce=Debounce(key="customer-42", window=5))`.

    The first start opens a window of `window` seconds. When the window has passed, one run starts for all starts that
    came within it. `keep` decides its arguments: those of the `"first"` start, those of the `"last"` (the default), or
    `"all"`. With `"all"` each start gives one positional argument, and the run receives the list of them, in order.
    With `restarts` each start restarts the window, but the window never lasts longer than `longest` seconds from the
    first start. At most `most` starts are combined: when that many have come, the run starts without waiting further.
    All of them get the same run back; it is `pending` until then.

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

    def terms(self) -> DebounceTerms:
        """The same settings as the engine takes them. Raises ConfigError for a setting that makes no sense."""
        if self.key is None:
            raise ConfigError("Debounce(key=None) cannot tell starts apart. Give a text that is not empty.")
        check_key("Debounce: key", self.key, tells_apart="starts apart")
        if not _is_keep(self.keep):
            raise ConfigError(f"Debounce(keep={shown(self.keep)}) is not known. Choose one of: {', '.join(Keep)}.")
        if not _is_count(self.most):
            raise ConfigError(f"Debounce(most={shown(self.most)}) is out of range. Give 1 to {MOST_STARTS:,}.")
        window = _seconds("window", self.window)
        longest = None if self.longest is None else _seconds("longest", self.longest)
        if longest is not None and not self.restarts:
            raise ConfigError(
                "Debounce(longest=...) bounds a window that restarts. Add restarts=True, or leave it out."
            )
        return DebounceTerms(self.key, window, Keep(self.keep), self.restarts, longest, self.most)


def debounced_start(
    engine: Engine,
    work: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    debounce: Debounce,
    terms: RunTerms | None,
) -> tuple[str, bool]:
    """Add a start to the others under its key. Returns the id of the run that they become, and whether this start is
    the first.

    Raises ConfigError, PlanError or SerializationError for a start that could not succeed when it is due, and
    RunStateError when the run has no room for it.
    """
    how = debounce.terms()
    keeps_all = how.keep is Keep.ALL
    if keeps_all and (not isinstance(work, (Task, Workflow)) or len(args) != 1 or kwargs):
        raise ConfigError(
            'Debounce(keep="all") gives the run the list of what each start was given: start a task or workflow with '
            "exactly one positional argument."
        )
    arguments = NO_ARGUMENTS
    if keeps_all:
        arguments = encode([list(args), {}], "arguments")
        _check_item(work, arguments)
    # A list of one item stands for the list that will be passed: errors are raised now, while the caller can fix them.
    plan = to_plan(work, [args[0]]) if keeps_all else to_plan(work, *args, **kwargs)
    if keeps_all and isinstance(work, Workflow):  # it is called later, with what is written now
        work.converters.check(work.short_name, [[args[0]]], {})
    if terms is not None:
        plan = with_terms(plan, terms)
    plan = plan_in(plan, engine.namespace)
    id_ = engine.new_id()
    start = NewStart(id_, plan, arguments, keeps_all and isinstance(work, Workflow), terms)
    try:
        made = engine.act(add_start, start, how)
    except RunStateError:  # the run is full: when it has started there is room again
        engine.act(hasten, plan.name, how.key)
        raise
    return made, made == id_


def _check_item(work: Task[..., Any] | Workflow[..., Any], arguments: str) -> None:
    """Raise for an argument that its annotation refuses: it would spoil the list for all the others."""
    (item,), _ = msgspec.json.decode(arguments)
    work.converters.apply(work.name, [[item]], {})


def _is_keep(value: object) -> bool:
    return isinstance(value, str) and value in tuple(Keep)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_STARTS


def _seconds(name: str, value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 1e9:
        raise ConfigError(
            f"Debounce({name}={shown(value)}) is not a duration. Give more than 0 seconds, or a timedelta."
        )
    return float(seconds)
