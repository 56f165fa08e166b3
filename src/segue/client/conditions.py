"""Filters for runs by times, arguments and origins, in the form in which the engine takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from segue.client.given import checked, mapping, moment, whole_id
from segue.clock import earlier
from segue.engine.ids import first_id_at
from segue.engine.stored import LONG_AGO
from segue.engine.views.find import ids_between
from segue.engine.views.select import FIRST_ID, LAST_ID
from segue.errors import ConfigError
from segue.given import shown

_FIELD = "$[1]"  # the arguments are stored as [positional, by name]
_POSITION = "$[0]"


def bounds(now: datetime, chosen: Mapping[str, Any]) -> tuple[str, str]:
    """The id from which on, and the id below which, the runs are that were created in the given times."""
    first, last = ids_between(checked("runs", "id_prefix", chosen.get("id_prefix") or ""))
    low, high = [FIRST_ID, first], [LAST_ID, last]
    for name, ends in (("newer_than", low), ("older_than", high)):
        if chosen.get(name) is not None:
            ends.append(first_id_at(earlier(now, _age(name, chosen[name]))))
    for name, ends in (("since", low), ("until", high)):
        at = time_of(name, chosen)
        if at is not None:
            ends.append(first_id_at(max(at, LONG_AGO)))
    return max(low), min(high)


def time_of(name: str, chosen: Mapping[str, Any]) -> datetime | None:
    """The point in time that a filter names, in UTC. Raises ConfigError for one without a zone."""
    given = chosen.get(name)
    return None if given is None else checked("runs", name, given, moment).astimezone(UTC)


def origin_of(chosen: Mapping[str, Any]) -> str | None:
    """The id of the run whose forks are wanted."""
    given = chosen.get("forked_from")
    return None if given is None else checked("runs", "forked_from", given, whole_id)


def argument_paths(arguments: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """The paths in the stored arguments, with the texts that must stand there.

    "customer.id" is the field `id` of the argument `customer`; "0" is the first positional argument.
    """
    if arguments is None:
        return ()
    given = checked("runs", "arguments", arguments, mapping)
    return tuple((_path(path), _text(path, value)) for path, value in given.items())


def _path(given: str) -> str:
    parts = given.split(".")
    if not all(parts) or any(sign in given for sign in '"\\') or not given.isprintable():
        raise ConfigError(
            f"arguments={{{shown(given)}: ...}} is not a path. Write the argument's name, and fields inside it after "
            "dots: 'customer.id'."
        )
    start = _POSITION if _is_index(parts[0]) else _FIELD
    return start + "".join(f"[{int(part)}]" if _is_index(part) else f'."{part}"' for part in parts)


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10


def _text(path: str, value: Any) -> str:
    if isinstance(value, str):
        return str(checked("runs", "arguments", value))
    if value is None or not isinstance(value, (bool, int, float)):
        raise ConfigError(
            f"arguments={{{shown(path)}: {shown(value)}}} cannot be searched. Search by a text, a number or a boolean."
        )
    return json.dumps(value)


def _age(name: str, given: Any) -> timedelta:
    if not isinstance(given, timedelta):
        raise ConfigError(f"{name}={shown(given)} is not a duration. Give a timedelta, for example timedelta(days=2).")
    return given
