"""Runs: list them, look at one, steer it."""

from __future__ import annotations

from typing import Any

import msgspec

from segue.client import Run
from segue.client.records import run_record
from segue.client.views import RunInfo
from segue.jsonable import Jsonable
from segue.model import RunStatus, StepStatus
from segue.web.operations import Call, operation
from segue.web.roles import Role


class RunsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which runs: all conditions must hold."""

    status: list[RunStatus] = []
    workflow: str | None = None
    tag: list[str] = []
    key: str | None = None
    error_type: str | None = None
    before: str | None = None
    limit: int = 50


class Why(msgspec.Struct, forbid_unknown_fields=True):
    """Why it is done, for those who look later."""

    reason: str | None = None


class RunsPage(msgspec.Struct):
    """Runs, and where the next page begins: give `next` as `before`. None: there are no more."""

    items: list[RunInfo]
    next: str | None


class RunDetail(Jsonable, msgspec.Struct, frozen=True):
    """A run, and the number of its steps in each status."""

    run: RunInfo
    counts: dict[StepStatus, int]

    def to_dict(self) -> dict[str, Any]:
        """The fields of the run, and `counts`."""
        return run_record(self.run, self.counts)


@operation("GET", "/runs", Role.VIEWER)
def list_runs(call: Call, query: RunsQuery) -> RunsPage:
    """List runs, the newest first."""
    chosen: dict[str, Any] = {
        name: value
        for name in ("status", "workflow", "tag", "key", "error_type")
        if (value := getattr(query, name)) not in (None, [])
    }
    limit = min(max(query.limit, 1), 200)
    found = call.segue.runs(before=query.before, limit=limit, **chosen)
    return RunsPage([masked_run(call, run) for run in found], found[-1].id if len(found) == limit else None)


@operation("GET", "/runs/{run_id}", Role.VIEWER)
def get_run(call: Call, run_id: str) -> RunDetail:
    """A run, with the number of its steps in each status."""
    run = call.segue.get(run_id)
    return detail(call, run)


@operation("POST", "/runs/{run_id}/pause", Role.OPERATOR)
def pause_run(call: Call, run_id: str, body: Why) -> RunDetail:
    """Pause a run: running steps finish, and no other begins."""
    run = call.segue.get(run_id)
    run.pause(actor=call.actor, reason=body.reason)
    return detail(call, run)


@operation("POST", "/runs/{run_id}/resume", Role.OPERATOR)
def resume_run(call: Call, run_id: str, body: Why) -> RunDetail:
    """Continue a paused run."""
    run = call.segue.get(run_id)
    run.resume(actor=call.actor, reason=body.reason)
    return detail(call, run)


@operation("POST", "/runs/{run_id}/cancel", Role.OPERATOR, is_destructive=True)
def cancel_run(call: Call, run_id: str, body: Why) -> RunDetail:
    """Cancel a run: running steps are asked to stop, and no other begins."""
    run = call.segue.get(run_id)
    run.cancel(actor=call.actor, reason=body.reason)
    return detail(call, run)


@operation("POST", "/runs/{run_id}/retry", Role.OPERATOR)
def retry_run(call: Call, run_id: str, body: Why) -> RunDetail:
    """Run the failed steps of a run again."""
    run = call.segue.get(run_id)
    run.retry(actor=call.actor, reason=body.reason)
    return detail(call, run)


def detail(call: Call, run: Run) -> RunDetail:
    """A run as it is now."""
    return RunDetail(masked_run(call, run.info()), run.counts())


def masked_run(call: Call, info: RunInfo) -> RunInfo:
    """A run without the secrets among its arguments."""
    return msgspec.structs.replace(info, arguments=call.masker.masked(info.workflow, info.arguments))
