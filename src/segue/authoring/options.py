"""The options of a step, besides its arguments: where it runs, when it starts, how often it is tried.

`Placement` contains them; `placed` makes a changed copy and refuses invalid values, with what was found.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, TypedDict

import msgspec

from segue.authoring.elsewhere import unknown_options
from segue.authoring.limits import Fairness, Limit, Rate, checked_limits
from segue.authoring.pushed import changed_spec, checked_executor
from segue.authoring.schedule import Schedule
from segue.errors import DefinitionError
from segue.given import shown
from segue.model import JoinRule, Policy
from segue.plan.graph import Node, Sla
from segue.plan.indexed import name_problem
from segue.plan.labels import encoded_metadata, joined_metadata
from segue.plan.pushed import Resources

DEFAULT_POLICY: Policy = Node(name="", task=None).policy  # this very object, so that plans leave it out when encoded

Errors = type[Exception] | tuple[type[Exception], ...]
Seconds = float | timedelta
Limits = Limit | list[Limit] | tuple[Limit, ...]


class PolicyOptions(TypedDict, total=False):
    """How often and how long; the same names as in `segue.model.Policy`."""

    retries: int
    retry_delay: Seconds
    retry_factor: float
    retry_max_delay: Seconds
    retry_jitter: float
    timeout: Seconds | None
    lost_retries: int
    may_fail: bool
    schedule_to_start: Seconds | None


class TaskOptions(PolicyOptions, total=False):
    """The options of `@task`."""

    name: str
    title: str
    description: str
    queue: str
    priority: int
    delay: Seconds
    metadata: dict[str, Any]
    retry_on: Errors
    give_up_on: Errors
    transactional: bool
    schedule: Schedule | str
    timezone: str
    concurrency: int
    rate: Rate
    burst: float
    limits: Limits
    cost: int
    fair_by: str
    fair_weights: dict[str, float]
    executor: str
    resources: Resources
    push: dict[str, Any]


class StepOptions(PolicyOptions, total=False):
    """The options of `.options(...)`."""

    name: str
    queue: str
    priority: int
    delay: Seconds
    run_at: datetime
    rule: JoinRule | str
    when: Any
    after: Any
    metadata: dict[str, Any]
    sla_start: Seconds | None
    sla_end: Seconds | None
    limits: Limits
    cost: int
    executor: str
    resources: Resources
    push: dict[str, Any]


class Placement(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options of a step besides its arguments; None means "as the workflow sets it"."""

    name: str | None = None
    queue: str | None = None
    priority: int | None = None
    delay: float | None = None
    run_at: datetime | None = None
    rule: JoinRule = JoinRule.ALL_SUCCEEDED
    policy: Policy = DEFAULT_POLICY
    when: Any = None  # a Handle, or a literal
    after: tuple[Any, ...] = ()  # Handles
    metadata: str | None = None  # JSON object
    sla_start: float | None = None
    sla_end: float | None = None
    own_limit: Limit | None = None  # of the task, by concurrency= and rate=
    limits: tuple[Limit, ...] = ()
    cost: int = 1
    fair: Fairness | None = None
    executor: str | None = None  # one that is polled; its steps wait on a queue of its own
    spec: str | None = None  # JSON: what a step needs there

    @property
    def sla(self) -> Sla | None:
        """The times by which the step should have started and ended; None if none were set."""
        return None if self.sla_start is self.sla_end is None else Sla(self.sla_start, self.sla_end)


_POLICY_FIELDS = frozenset(Policy.__struct_fields__)
_PLACEMENT_FIELDS = frozenset(Placement.__struct_fields__) - {"policy", "own_limit", "fair", "spec"}
_SPEC_OPTIONS = frozenset({"resources", "push"})
_OPTIONS = _POLICY_FIELDS | _PLACEMENT_FIELDS | _SPEC_OPTIONS


def placed(placement: Placement, changes: Any, *, of: str) -> Placement:
    """A copy of `placement` with `changes`. Raises `DefinitionError` naming `of` for an invalid one."""
    if not changes:
        return placement
    unknown = changes.keys() - _OPTIONS
    if unknown:
        raise unknown_options(of, unknown, _OPTIONS)
    checked = {key: _check(of, key, value) for key, value in changes.items()}
    policy = {key: value for key, value in checked.items() if key in _POLICY_FIELDS}
    if policy:
        changed = msgspec.structs.replace(placement.policy, **policy)
        checked["policy"] = DEFAULT_POLICY if changed == DEFAULT_POLICY else changed
    if "metadata" in checked:  # added to the task's own
        added = checked["metadata"]
        checked["metadata"] = joined_metadata(placement.metadata, None if added is None else str(added))
    if checked.keys() & _SPEC_OPTIONS:
        checked["spec"] = changed_spec(of, placement.spec, checked)
    left_out = _POLICY_FIELDS | _SPEC_OPTIONS
    changed_placement = msgspec.structs.replace(placement, **{k: v for k, v in checked.items() if k not in left_out})
    check_pushed(of, changed_placement)
    return changed_placement


def check_pushed(of: str, placement: Placement) -> None:
    """Raise `DefinitionError` if the options of an executor contradict each other."""
    if placement.executor is not None and placement.queue is not None:
        raise DefinitionError(
            f"{of}: executor={placement.executor!r} has a queue of its own, so queue={placement.queue!r} cannot be; "
            "leave out one of them"
        )


def check_errors(of: str, key: str, value: object) -> tuple[type[Exception], ...]:
    """Exception classes as a tuple. Raises `DefinitionError` for anything else."""
    given = value if isinstance(value, tuple) else (value,)
    for item in given:
        if not (isinstance(item, type) and issubclass(item, Exception)):
            raise DefinitionError(
                f"{of}: {key}={shown(value)} is not an exception class or a tuple of them; "
                f"write {key}=(OSError, ValueError)"
            )
    return given


def _check(of: str, key: str, value: object) -> object:
    match key:
        case "name" | "queue":
            return _text(of, key, value)
        case "priority":
            return _integer(of, key, value, low=0, high=9, remedy="choose 0 to 9; 9 goes first")
        case "retries" | "lost_retries":
            return _integer(of, key, value, low=0, high=1_000_000, remedy="give how many more tries it gets, 0 or more")
        case "timeout" | "schedule_to_start" | "sla_start" | "sla_end":
            return None if value is None else seconds_of(of, key, value, above_zero=True)
        case "delay" | "retry_delay" | "retry_max_delay":
            return seconds_of(of, key, value, above_zero=False)
        case "retry_factor":
            return _number(of, key, value, low=1.0, high=1000.0)
        case "retry_jitter":
            return _number(of, key, value, low=0.0, high=1.0)
        case "may_fail":
            if not isinstance(value, bool):
                raise DefinitionError(f"{of}: may_fail={shown(value)} is not a boolean; write may_fail=True or False")
            return value
        case "run_at":
            return _aware(of, value)
        case "rule":
            return _rule(of, value)
        case "metadata":
            return encoded_metadata(of, value, error=DefinitionError)
        case "limits":
            return checked_limits(of, value)
        case "cost":
            return _integer(of, key, value, low=1, high=1_000_000, remedy="give how many places it takes, 1 or more")
        case "executor":
            return None if value is None else checked_executor(of, value)
        case "after":
            return tuple(value) if isinstance(value, (list, tuple)) else (value,)
        case _:
            return value


def _text(of: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 200:
        raise DefinitionError(f"{of}: {key}={shown(value)} is not a text of 1 to 200 characters; write {key}='...'")
    problem = name_problem(value, 4 * len(value))
    if problem is not None:
        raise DefinitionError(
            f"{of}: {key}={shown(value)} {problem}, which no database can store; write another {key}='...'"
        )
    return value


def _integer(of: str, key: str, value: object, *, low: int, high: int, remedy: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DefinitionError(f"{of}: {key}={shown(value)} is not a whole number from {low} to {high}; {remedy}")
    return value


def _number(of: str, key: str, value: object, *, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise DefinitionError(f"{of}: {key}={shown(value)} is out of range; give a number from {low:g} to {high:g}")
    return float(value)


def seconds_of(of: str, key: str, value: object, *, above_zero: bool) -> float:
    """A duration in seconds. Raises `DefinitionError` for an invalid one, or one out of range."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise DefinitionError(f"{of}: {key}={shown(value)} is not a duration; give seconds or a timedelta")
    if not 0 <= seconds < 1e10 or (above_zero and seconds == 0):
        bound = "more than 0" if above_zero else "0 or more"
        raise DefinitionError(f"{of}: {key}={shown(value)} is out of range; give {bound} seconds")
    return float(seconds)


def _aware(of: str, value: object) -> datetime:
    if not isinstance(value, datetime):
        raise DefinitionError(f"{of}: run_at={shown(value)} is not a datetime; give an aware one, or delay= in seconds")
    if value.tzinfo is None:
        raise DefinitionError(f"{of}: run_at={shown(value)} has no time zone; add one, for example tzinfo=UTC")
    return value


def _rule(of: str, value: object) -> JoinRule:
    try:
        return JoinRule(value if isinstance(value, str) else "")
    except ValueError:
        raise DefinitionError(f"{of}: rule={shown(value)} is not known; choose {_listed(JoinRule)}") from None


def _listed(words: Iterable[str]) -> str:
    return ", ".join(str(word) for word in words)
