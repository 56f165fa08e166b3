"""Limits, rates, and the weights of keys that share a queue."""

from __future__ import annotations

from typing import Annotated

import msgspec

from segue.client.views import LimitInfo, ShareInfo
from segue.web.api.given import Why
from segue.web.api.schedules import Removed
from segue.web.operations import Call, operation
from segue.web.problems import ProblemError
from segue.web.roles import Role


class Limits(msgspec.Struct):
    """The limits, and the keys that share queues."""

    limits: list[LimitInfo]
    shares: list[ShareInfo]


class Size(Why, forbid_unknown_fields=True, omit_defaults=True):
    """The size of a limit: so many at once, so many starts in a period ("100/min"), or both."""

    concurrency: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    rate: Annotated[str, msgspec.Meta(max_length=50)] | None = None
    burst: Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None = None


class Weight(Why, forbid_unknown_fields=True, omit_defaults=True):
    """The weight of a key in a queue; null restores that of the code."""

    weight: float | None = None


class Weighted(msgspec.Struct):
    """A key and its weight."""

    queue: str
    key: str
    weight: float | None


@operation("GET", "/limits", Role.VIEWER)
def list_limits(call: Call) -> Limits:
    """The limits with the places taken and the steps that wait, and the keys that share queues."""
    return Limits(call.segue.limits.list(), call.segue.limits.shares())


@operation("PUT", "/limits/{name:name}", Role.ADMIN)
def set_limit(call: Call, name: str, body: Size) -> LimitInfo | None:
    """Set the size of a limit; it overrides the code. With 0 places nothing new starts."""
    call.segue.limits.set(name, concurrency=body.concurrency, rate=body.rate, burst=body.burst, reason=body.reason)
    return next((each for each in call.segue.limits.list() if each.name == name), None)


@operation("DELETE", "/limits/{name:name}", Role.ADMIN, is_destructive=True)
def remove_limit(call: Call, name: str, body: Why) -> Removed:
    """Remove a limit. The size in the code applies again when a worker or run that uses it starts."""
    if not call.segue.limits.remove(name, reason=body.reason):
        raise ProblemError(404, "LimitNotFound", f"There is no limit {name!r}.")
    return Removed(name)


@operation("PUT", "/queues/{queue:name}/weights/{key:name}", Role.ADMIN)
def set_weight(call: Call, queue: str, key: str, body: Weight) -> Weighted:
    """Set the weight of a key (of `fair_by`) in a queue; other keys have weight 1."""
    call.segue.limits.weight(key, body.weight, queue=queue, reason=body.reason)
    return Weighted(queue, key, body.weight)
