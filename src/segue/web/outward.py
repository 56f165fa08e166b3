"""Links from a run, a step or an attempt to the systems that have its trace and its logs.

They are made of two addresses with names in braces, which the administrator sets. Promise: each value is quoted, so it
stays in its place, and the link leads to where the address says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import msgspec

from segue.client.views import AttemptInfo, RunInfo, StepInfo
from segue.errors import ConfigError
from segue.observing.tracing import ids

TRACE_VARIABLE, LOG_VARIABLE = "SEGUE_TRACE_URL", "SEGUE_LOG_URL"
NAMES = ("trace_id", "span_id", "run", "workflow", "step", "step_number", "attempt", "from", "to", "from_ms", "to_ms")
AROUND = timedelta(minutes=1)
"""So much earlier and later than a run or an attempt, logs are looked for: clocks differ."""

_NAME = re.compile(r"\{([a-z_]+)\}")


class Link(msgspec.Struct, frozen=True):
    """A link to another system."""

    word: str
    href: str


class Outward:
    """The addresses, from the environment. Raises ConfigError if they are not usable."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        found = (("Trace", TRACE_VARIABLE), ("Logs", LOG_VARIABLE))
        self._addresses = [(word, _checked(name, given[name])) for word, name in found if given.get(name)]

    def links(
        self, run: RunInfo, step: StepInfo | None = None, attempt: AttemptInfo | None = None, *, now: datetime
    ) -> list[Link]:
        """The links of a run, of one of its steps, or of an attempt at it; what is not known of a run is empty.

        Example::

            Outward({"SEGUE_TRACE_URL": "https://tempo.example.org/trace/{trace_id}"}).links(run, now=now)
        """
        if not self._addresses:
            return []
        values = _values(run, step, attempt, now)
        return [Link(word, _NAME.sub(lambda found: values[found[1]], address)) for word, address in self._addresses]


def _checked(variable: str, address: str) -> str:
    try:
        parts = urlsplit(address.strip())
        is_sound = parts.scheme in ("http", "https") and bool(parts.hostname) and not _NAME.search(parts.netloc)
    except ValueError:  # as "https://[::1"
        is_sound = False
    if not is_sound or not address.strip().isprintable():
        raise ConfigError(
            f"{variable}={address[:200]} is not an address that pages can link to. Give one that begins with https:// "
            "or http:// and a host, for example https://tempo.example.org/trace/{trace_id}."
        )
    unknown = sorted(set(_NAME.findall(address)) - set(NAMES))
    if unknown:
        raise ConfigError(f"{variable} has {{{unknown[0]}}}, which is not known. There are: {', '.join(NAMES)}.")
    return address.strip()


def _values(run: RunInfo, step: StepInfo | None, attempt: AttemptInfo | None, now: datetime) -> dict[str, str]:
    begun = [None if each is None else each.started_at for each in (attempt, step)]
    begin = _first(*begun, run.created_at) - AROUND
    end = attempt.finished_at if attempt is not None else step.finished_at if step is not None else run.finished_at
    if end is None:  # the next full hour: a page that is looked at again stays the same
        end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    end += AROUND
    number = attempt.attempt if attempt is not None else step.attempt if step is not None else 0
    span = ids.run_span_id(run.id) if step is None else ids.attempt_span_id(run.id, step.step, number)
    told = {
        "trace_id": f"{ids.trace_id(run.id):032x}", "span_id": f"{span:016x}", "run": run.id,
        "workflow": run.workflow, "step": "" if step is None else step.name,
        "step_number": "" if step is None else str(step.step), "attempt": str(number or ""),
        "from": _iso(begin), "to": _iso(end), "from_ms": _milliseconds(begin), "to_ms": _milliseconds(end),
    }  # fmt: skip
    return {name: quote(value, safe="", errors="replace") for name, value in told.items()}


def _first(*moments: datetime | None) -> datetime:
    return next(each for each in moments if each is not None)


def _iso(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))
