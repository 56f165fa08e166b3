"""Limits and fair shares as tasks and workflows declare them, and their keys for the arguments of a step.

A *key* is the name of a parameter, or a template over parameters: "customer", "{customer}/{region}",
"{order.customer}". Its value for a step comes from the step's arguments, given by position, by name or by default. If
that is a result which is not known yet, the engine computes the key later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from string import Formatter
from typing import Any

import msgspec

from segue.authoring.handle import Handle, part_of
from segue.authoring.values import encode
from segue.errors import DefinitionError, SerializationError
from segue.given import shown
from segue.model import Expr, Gather, Value
from segue.plan.check import Parameters
from segue.plan.codec import evaluate, steps_in
from segue.plan.graph import FairShare, KeyPart, KeySource, LimitTerms, LimitUse
from segue.plan.indexed import name_problem
from segue.plan.key_sources import key_text
from segue.plan.lanes import LONGEST_KEY_BYTES, LONGEST_LANE_BYTES, LONGEST_LIMIT_BYTES, MOST_USES, bounded

Rate = str | tuple[float, float]
Find = Callable[[str], Any]
"""Returns the argument for a parameter. Raises `NoArgumentError`."""

_UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}
_RATE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)?\s*([a-z]+?)s?\s*$")


class NoArgumentError(LookupError):
    """A parameter in a key has no argument."""


class Limit(msgspec.Struct, frozen=True):
    """A limit of a task: how many of its steps may run at the same time, or start in a period.

    Several tasks may share a limit by its `name`; without a name it belongs to the task. `concurrency` is a number of
    places, `rate` a number of starts in a period: "10/s", "100/min", "5/30s", or (starts, seconds). Up to `burst`
    unused starts accumulate; by default as many as come in a tenth of a second, at least 1. With `key`, the name of a
    parameter or a template over parameters, each value has separate places and starts. `cost` is how many of them a
    step takes. A limit without a concurrency and a rate is defined elsewhere: by another task, or with
    `segue.limits.set`.

    Example::

        @task(limits=[Limit("api", concurrency=10), Limit(key="customer", concurrency=1)])
        def fetch(customer: str, page: int) -> bytes: ...
    """

    name: str = ""
    concurrency: int | None = None
    rate: Rate | None = None
    burst: float | None = None
    key: str | None = None
    cost: int | None = None

    def __post_init__(self) -> None:
        label = f"Limit({shown(self.name)})" if self.name else "Limit(...)"
        if not isinstance(self.name, str):
            raise DefinitionError(f"{label}: its name is not a text; write Limit('api', ...)")
        check_places(label, "concurrency", self.concurrency)
        if self.cost is not None:
            check_places(label, "cost", self.cost)
        if self.rate is not None:
            msgspec.structs.force_setattr(self, "rate", rate_of(label, self.rate))
        burst = self.burst
        if burst is not None and (type(burst) not in (int, float) or not 1 <= burst < 1e9):
            raise DefinitionError(f"{label}: burst={shown(self.burst)} is not a number of starts; give 1 or more")
        if self.key is not None:
            fields_of(label, self.key)

    @property
    def terms(self) -> LimitTerms | None:
        """Its size; None if that is defined elsewhere."""
        if self.concurrency is None and self.rate is None:
            return None
        rate, period = (None, 1.0) if self.rate is None else (float(self.rate[0]), float(self.rate[1]))
        return LimitTerms(self.name, self.concurrency, rate, period, self.burst)


class Fairness(msgspec.Struct, frozen=True):
    """The key by which steps share their queue, and the weights of some of its values."""

    by: str
    weights: dict[str, float] = {}


# Checking arguments ---------------------------------------------------------------------------------------------------


def rate_of(label: str, rate: object) -> tuple[float, float]:
    """(starts, seconds) of a rate."""
    starts: object = None
    seconds: object = None
    if isinstance(rate, str):
        found = _RATE.match(rate.lower())
        if found is not None and found[3] in _UNITS:
            starts, seconds = float(found[1]), float(found[2] or 1) * _UNITS[found[3]]
    elif isinstance(rate, (tuple, list)) and len(rate) == 2:
        starts, seconds = rate
    if (
        not isinstance(starts, (int, float)) or not isinstance(seconds, (int, float))
        or isinstance(starts, bool) or not (0 < starts < 1e9 and 0 < seconds < 1e9)
    ):  # fmt: skip
        raise DefinitionError(
            f"{label}: rate={shown(rate)} is not a rate; write '10/s', '100/min', '5/30s', '2/h' or (starts, seconds)"
        )
    return float(starts), float(seconds)


def check_places(label: str, key: str, value: object) -> None:
    """Raise `DefinitionError` unless the value is a number of places, or None."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise DefinitionError(f"{label}: {key}={shown(value)} is not a number of places; give 1 or more")


def fields_of(label: str, key: object) -> list[tuple[str, str | None]]:
    """A key as (text before, parameter and path) pairs; the parameter is None at the end."""
    if not isinstance(key, str) or not key:
        raise DefinitionError(
            f"{label}: key={shown(key)} is not the name of a parameter, nor a template like '{{a}}/{{b}}'"
        )
    if "{" not in key:
        return [("", key)]
    try:
        parts = [(before, field) for before, field, _, _ in Formatter().parse(key)]
    except ValueError as error:
        raise DefinitionError(f"{label}: the key {key!r} cannot be read: {error}") from None
    if not any(field for _, field in parts) or any(field == "" for _, field in parts):
        raise DefinitionError(f"{label}: the key {key!r} has no parameter in its braces; write '{{customer}}'")
    return parts


def check_key(label: str, key: str, parameters: Parameters) -> None:
    """Raise `DefinitionError` for a key with a parameter that the task or workflow does not have."""
    for _, field in fields_of(label, key):
        name = (field or "").partition(".")[0]
        known = set(parameters.positional) | parameters.named
        if field is not None and name not in known and not parameters.takes_any_name:
            raise DefinitionError(
                f"{label}: its key {key!r} names {name!r}, which is not one of its parameters {parameters.text}"
            )


def checked_limits(label: str, value: object) -> tuple[Limit, ...]:
    """The limits of an option `limits=`."""
    limits = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for limit in limits:
        if not isinstance(limit, Limit):
            raise DefinitionError(f"{label}: limits={shown(value)}; write limits=[Limit('api', concurrency=10)]")
        if ":" in limit.name and not limit.name.startswith("task:"):
            raise DefinitionError(f"{label}: the limit's name {shown(limit.name)} has a colon; choose one without")
        wrong = name_problem(limit.name or "-", LONGEST_LANE_BYTES if ":" in limit.name else LONGEST_LIMIT_BYTES)
        if wrong is not None:
            raise DefinitionError(f"{label}: the limit's name {shown(limit.name)} {wrong}; choose another one")
    if len(limits) > MOST_USES:
        raise DefinitionError(f"{label}: it names {len(limits)} limits and may name {MOST_USES}")
    return limits


def fairness(label: str, by: object, weights: object) -> Fairness | None:
    """The options `fair_by=` and `fair_weights=`."""
    if by is None:
        if weights is not None:
            raise DefinitionError(f"{label}: fair_weights= needs fair_by=, the parameter whose values have weights")
        return None
    fields_of(label, by)
    found = {} if weights is None else weights
    if not isinstance(found, Mapping) or not all(
        isinstance(key, str) and isinstance(weight, (int, float)) and not isinstance(weight, bool) and 0 < weight < 1e9
        for key, weight in found.items()
    ):
        raise DefinitionError(
            f"{label}: fair_weights={shown(weights)} is not a dict of weights above 0; write fair_weights={{'gold': 3}}"
        )
    return Fairness(str(by), {key: float(weight) for key, weight in found.items()})


def own_limits(
    label: str, task: str, parameters: Parameters, *, concurrency: object, rate: object, burst: object,
    limits: Iterable[Limit],
) -> tuple[Limit | None, tuple[Limit, ...]]:  # fmt: skip
    """The limit of `concurrency=` and `rate=`, and those of `limits=` with their names."""
    own = None
    if concurrency is not None or rate is not None:
        check_places(label, "concurrency", concurrency)
        own = Limit(f"task:{task}", concurrency, rate, burst)  # type: ignore[arg-type]
    elif burst is not None:
        raise DefinitionError(f"{label}: burst= needs rate=, the starts in a period")
    named = tuple(_named(label, task, limit) for limit in limits)
    for limit in named:
        if limit.key is not None:
            check_key(label, limit.key, parameters)
    collect([limit.terms for limit in (own, *named) if limit is not None])
    return own, named


def _named(label: str, task: str, limit: Limit) -> Limit:
    if limit.name:
        return limit
    if limit.terms is None:
        raise DefinitionError(f"{label}: a Limit without a name, a concurrency or a rate; give it one of them")
    name = f"task:{task}" if limit.key is None else f"task:{task}[{limit.key}]"
    return Limit(name, limit.concurrency, limit.rate, limit.burst, limit.key, limit.cost)


# Declared limits ------------------------------------------------------------------------------------------------------


def collect(found: Iterable[LimitTerms | None]) -> dict[str, LimitTerms]:
    """Limits by name. Raises `DefinitionError` if the code declares two sizes for one limit."""
    by_name: dict[str, LimitTerms] = {}
    for terms in found:
        if terms is None:
            continue
        other = by_name.setdefault(terms.name, terms)
        if other != terms:
            raise DefinitionError(
                f"the limit {terms.name!r} is {_size(other)} in one place of the code and {_size(terms)} in another; "
                "declare its size once, and write Limit(name) elsewhere"
            )
    return by_name


def _size(terms: LimitTerms) -> str:
    parts = [] if terms.concurrency is None else [f"{terms.concurrency} at once"]
    if terms.rate is not None:
        parts.append(f"{terms.rate:g} in {terms.period:g} s")
    return " and ".join(parts)


# Keys of steps --------------------------------------------------------------------------------------------------------


def finder(
    parameters: Parameters | None, args: tuple[Any, ...], kwargs: Mapping[str, Any], given: Handle | None = None
) -> Find:
    """Returns a function that finds the argument of a call for a parameter, by position, by name or by default."""
    positional = args if given is None else (given, *args)
    if parameters is None:  # a batch of `map`: the arguments that all of its items share
        kwargs = kwargs.get("fixed", kwargs)

    def find(name: str) -> Any:
        if name in kwargs:
            return kwargs[name]
        if parameters is not None:
            if name in parameters.positional and parameters.positional.index(name) < len(positional):
                return positional[parameters.positional.index(name)]
            if name in parameters.defaults:
                return parameters.defaults[name]
        raise NoArgumentError(name)

    return find


def limit_uses(
    limits: Sequence[Limit], cost: int, find: Find, lift: Callable[[Any], Expr], source_of: Callable[[str], KeySource]
) -> tuple[LimitUse, ...]:
    """The places and starts that a step needs; `lift` turns an argument into an expression."""
    nameless = [limit for limit in limits if not limit.name]
    if nameless:
        raise DefinitionError(f"options(limits=...): {nameless[0]} has no name; only the limits of @task may have none")
    return tuple(
        LimitUse(limit.name, None, limit.cost or cost)
        if limit.key is None
        else LimitUse(limit.name, key_expr(limit.key, find, lift), limit.cost or cost, source_of(limit.key))
        for limit in limits
    )


def _pieces_of(key: str) -> Iterator[str | tuple[str, tuple[str, ...]]]:
    """A key as a sequence of texts and of (parameter, path) pairs."""
    for before, field in fields_of("key", key):
        if before:
            yield before
        if field is not None:
            name, *path = field.split(".")
            yield name, tuple(path)


def key_source(key: str, parameters: Parameters | None, kwargs: Mapping[str, Any]) -> KeySource:
    """How a key is computed from arguments; stored with the step, so that other arguments give another key."""
    return tuple(
        KeyPart(piece) if isinstance(piece, str) else _source_part(*piece, parameters, kwargs)
        for piece in _pieces_of(key)
    )


def _source_part(
    name: str, path: tuple[str, ...], parameters: Parameters | None, kwargs: Mapping[str, Any]
) -> KeyPart:  # fmt: skip
    if parameters is None:
        return KeyPart("", ((1, "fixed", name) if "fixed" in kwargs else (1, name),), path)
    places: list[tuple[str | int, ...]] = [(1, name)]
    if name in parameters.positional:
        places.append((0, parameters.positional.index(name)))
    return KeyPart("", tuple(places), path, _default_text(name, path, parameters))


def _default_text(name: str, path: tuple[str, ...], parameters: Parameters) -> str | None:
    if name not in parameters.defaults:
        return None
    try:
        part = _part(_known(parameters.defaults[name]), path)
    except (DefinitionError, SerializationError):
        return None
    text = key_text(evaluate(part, {}))
    return text if len(text.encode()) <= LONGEST_KEY_BYTES else None


def share_of(
    fair: Fairness, find: Find, lift: Callable[[Any], Expr], source: KeySource | None = None
) -> FairShare:  # fmt: skip
    """The fair share of a step, whose arguments give the key by `source`; without `source`, of a whole workflow."""
    key = key_expr(fair.by, find, lift)
    if isinstance(key, Value):
        return FairShare(key, fair.weights.get(key_text(bytes(key.json).decode()), 1.0), source=source)
    return FairShare(key, 1.0, fair.weights, source)


def key_expr(key: str, find: Find, lift: Callable[[Any], Expr]) -> Expr:
    """A key for these arguments: a `Value` of text if it is known, otherwise an expression of its parts."""
    parts: list[Expr] = []
    for piece in _pieces_of(key):
        if isinstance(piece, str):
            parts.append(_known(piece))
        else:
            name, path = piece
            parts.append(_part(lift(find(name)), path))
    if not any(True for part in parts for _ in steps_in(part)):
        return _known(bounded("".join(key_text(evaluate(part, {})) for part in parts)))
    return Gather(tuple(parts))


def _part(expr: Expr, path: Sequence[str]) -> Expr:
    """The part of an expression at a path of names."""
    for name in path:
        expr = _inside(expr, name) if isinstance(expr, Value) else part_of(expr, name)
    return expr


def _inside(value: Value, name: str) -> Value:
    found = msgspec.json.decode(value.json)
    if not isinstance(found, dict) or name not in found:
        shown = bytes(value.json).decode()
        raise DefinitionError(f"a key needs .{name} of {shown[:80]}, which has no such field")
    return _known(found[name])


def _known(value: Any) -> Value:
    return Value(msgspec.Raw(encode(value).encode()))
