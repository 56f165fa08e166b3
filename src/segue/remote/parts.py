"""The parts of a `Remote`: selections, schedules, limits, approvals and events."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import json

from segue.client.records import from_record
from segue.client.selection import RunFilters
from segue.client.views import EventInfo, LimitInfo, RunInfo, ScheduleInfo, ShareInfo, TickInfo, WaitInfo
from segue.remote.line import Line
from segue.remote.run import RemoteRun


def as_query(chosen: RunFilters) -> dict[str, Any]:
    """The filters of `Segue.select` as those of the API."""
    told: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    for name in ("status", "tag", "ids"):
        if name in told:
            told[name] = [told[name]] if isinstance(told[name], str) else [str(each) for each in told[name]]
    if "metadata" in told:
        told["meta"] = [f"{name}={_json(value)}" for name, value in told.pop("metadata").items()]
    for name in ("older_than", "newer_than"):
        if isinstance(told.get(name), timedelta):
            told[name] = told[name].total_seconds()
    return told


def _json(value: Any) -> str:
    return json.encode(value).decode()


class RemoteSelection:
    """Runs that match a filter. A verb is applied to them by a worker, as `in_background` of a `Selection` does.

    Example::

        remote.select(workflow="shop.nightly", status="failed").retry(reason="the shop answers again").wait()
    """

    def __init__(self, line: Line, chosen: RunFilters) -> None:
        self._line = line
        self._chosen = as_query(chosen)

    def preview(self, verb: str) -> dict[str, Any]:
        """What a verb would be applied to now: `count`, `newest_id`, `workflows`, `first` and so on."""
        found: dict[str, Any] = self._line.get("selections", "preview", verb=verb, **self._chosen)
        return found | {"first": [from_record(RunInfo, each) for each in found["first"]]}

    def pause(self, *, stop_running: bool = False, reason: str | None = None) -> RemoteRun:
        """Start none of their steps from now on."""
        return self._apply("pause", stop_running=stop_running, reason=reason)

    def resume(self, *, reason: str | None = None) -> RemoteRun:
        """Continue those that are paused."""
        return self._apply("resume", reason=reason)

    def cancel(self, *, reason: str | None = None) -> RemoteRun:
        """End them."""
        return self._apply("cancel", reason=reason)

    def retry(self, *, step: str | None = None, fresh: bool = False, reason: str | None = None) -> RemoteRun:
        """Run again what failed in them."""
        return self._apply("retry", step=step, fresh=fresh, reason=reason)

    def annotate(
        self, *, tags: Sequence[str] = (), without: Sequence[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> RemoteRun:
        """Add tags to them, remove those in `without`, and set keys of their metadata."""
        return self._apply("annotate", tags=list(tags), without=list(without), metadata=dict(metadata or {}))

    def _apply(self, verb: str, **body: Any) -> RemoteRun:
        made = self._line.do("POST", "selections", "apply", verb=verb, **self._chosen, **body)
        return RemoteRun(self._line, made["id"], is_new=made["is_new"])


class RemoteSchedules:
    """The schedules at a server."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def list(self, *, workflow: str | None = None) -> builtins.list[ScheduleInfo]:
        """All schedules by name, or those that start this workflow or task."""
        return [from_record(ScheduleInfo, each) for each in self._line.get("schedules", workflow=workflow)]

    def get(self, name: str) -> ScheduleInfo:
        """The schedule of this name; raises ScheduleNotFoundError."""
        return from_record(ScheduleInfo, self._line.get("schedules", name))

    def create(self, name: str, work: str, /, *args: Any, schedule: str, **options: Any) -> ScheduleInfo:
        """Create a schedule. The server must have the code of the work. `options` are those of the schedule."""
        body = {"name": name, "work": work, "args": list(args), "schedule": schedule, **options}
        return from_record(ScheduleInfo, self._line.do("POST", "schedules", **body))

    def update(self, name: str, **changes: Any) -> ScheduleInfo:
        """Change the given options."""
        return from_record(ScheduleInfo, self._line.do("PATCH", "schedules", name, may_repeat=True, **changes))

    def remove(self, name: str) -> None:
        """Remove it; its runs stay."""
        self._line.do("DELETE", "schedules", name)

    def activate(self, name: str) -> ScheduleInfo:
        """Switch it on."""
        return from_record(ScheduleInfo, self._line.do("POST", "schedules", name, "activate", may_repeat=True))

    def deactivate(self, name: str) -> ScheduleInfo:
        """Switch it off."""
        return from_record(ScheduleInfo, self._line.do("POST", "schedules", name, "deactivate", may_repeat=True))

    def run_now(self, name: str, *, key: str | None = None, reason: str | None = None) -> RemoteRun:
        """Start a run now, also while others of it run. A second call with the same `key` finds that run."""
        may_repeat = key is not None
        done = self._line.do("POST", "schedules", name, "run", may_repeat=may_repeat, key=key, reason=reason)
        return RemoteRun(self._line, done["id"], is_new=done["is_new"])

    def next(self, name: str, n: int = 5) -> builtins.list[datetime]:
        """Its next `n` ticks, in UTC."""
        return [datetime.fromisoformat(each["tick"]) for each in self._line.get("schedules", name, "next", count=n)]

    def ticks(self, name: str, *, before: datetime | None = None, limit: int = 50) -> builtins.list[TickInfo]:
        """What happened to its ticks, the newest first."""
        found = self._line.pages("schedules", name, "ticks", cursor="before", before=before, limit=limit)
        return [from_record(TickInfo, each) for each in found]

    def backfill(
        self, name: str, since: datetime, until: datetime, *, dry_run: bool = False, overlap: str | None = None
    ) -> builtins.list[TickInfo]:
        """Start the ticks of a past period that have not started a run yet. Returns all of them."""
        found = self._line.do(
            "POST", "schedules", name, "backfill", since=since, until=until, dry_run=dry_run, overlap=overlap
        )  # fmt: skip
        return [from_record(TickInfo, each) for each in found]


class RemoteLimits:
    """The limits at a server."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def list(self) -> builtins.list[LimitInfo]:
        """Every limit."""
        return [from_record(LimitInfo, each) for each in self._line.get("limits")["limits"]]

    def shares(self) -> builtins.list[ShareInfo]:
        """The keys that share queues."""
        return [from_record(ShareInfo, each) for each in self._line.get("limits")["shares"]]

    def set(
        self, name: str, *, concurrency: int | None = None, rate: str | None = None, burst: float | None = None
    ) -> None:
        """Set the size of a limit."""
        self._line.do("PUT", "limits", name, concurrency=concurrency, rate=rate, burst=burst, may_repeat=True)

    def remove(self, name: str) -> None:
        """Remove a limit. Raises RemoteError if there is none."""
        self._line.do("DELETE", "limits", name)

    def weight(self, key: str, weight: float | None, *, queue: str = "default") -> None:
        """Set the weight of a key in a queue."""
        self._line.do("PUT", "queues", queue, "weights", key, weight=weight, may_repeat=True)


class RemoteApprovals:
    """The steps at a server that wait for a message."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def list(
        self, *, workflow: str | None = None, name: str | None = None, limit: int = 100
    ) -> builtins.list[WaitInfo]:
        """Those of a workflow, or those that wait for a name; those of the oldest runs first."""
        found = self._line.pages("approvals", cursor="after", limit=limit, workflow=workflow, name=name)
        return [from_record(WaitInfo, each) for each in found]


class RemoteEvents:
    """The events that a server has recorded."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def list(
        self, run_id: str | None = None, *, kinds: Iterable[str] = (), before: str | None = None, limit: int = 50
    ) -> builtins.list[EventInfo]:
        """The newest first, of one run or all."""
        found = self._line.pages("events", cursor="before", before=before, limit=limit, run=run_id, kind=[*kinds])
        return [from_record(EventInfo, each) for each in found]
