"""Runs: list them, start one, look at one, steer it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import json

from segue.authoring import encode
from segue.client.masked_views import without_secrets
from segue.client.records import reason_record
from segue.client.starting import start_by_name
from segue.client.views import Reason, RunInfo, RunProgress, Sent
from segue.errors import NotFinishedError
from segue.jsonable import Jsonable
from segue.model import RunStatus
from segue.web.api.given import Filters, Limit, Seconds, Text, Why, moment
from segue.web.api.own_tasks import refuse_own
from segue.web.api.shown import RunDetail, detail, masked_run, masked_step
from segue.web.operations import Call, operation
from segue.web.roles import Role


class RunsQuery(Filters, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Which runs, and which page of them."""

    before: Text | None = None  # the id of a run, or `next` of a page: what follows it
    limit: Limit = 50


class RunsPage(msgspec.Struct):
    """Runs, and where the next page begins: give `next` as `before`. None: there are no more."""

    items: list[RunInfo]
    next: str | None
    looked_back_to: datetime | None = None  # the search stopped here, because it had looked at so many runs


class NewRun(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What to start. `name` is that of a workflow or task; the arguments are JSON values."""

    name: Text
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    key: Text | None = None  # a second start with the same key finds the first run
    reuse_key: bool = False  # ... only until that run has ended
    tags: list[Text] = []
    metadata: dict[str, Any] = {}
    deadline: Seconds | None = None  # seconds from its start
    run_at: datetime | None = None


class Pause(Why, forbid_unknown_fields=True, omit_defaults=True):
    """How to pause."""

    stop_running: bool = False  # running steps are asked to end, and begin again after `resume`


class Retry(Why, forbid_unknown_fields=True, omit_defaults=True):
    """What to run again: what failed, or a step and all below it."""

    step: Text | None = None  # the name or number of a step
    fresh: bool = False  # tasks do not go on from their checkpoints


class Fork(Why, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """From which step a new run differs, and the new arguments of that step."""

    step: Text
    args: list[Any] | None = None
    kwargs: dict[str, Any] = {}
    key: Text | None = None
    tags: list[Text] = []
    metadata: dict[str, Any] = {}


class Message(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A message for the step that waits for its name."""

    name: Text
    value: Any = None
    key: Text | None = None  # a second message with the same key changes nothing


class Labels(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Changes to the tags and the metadata of a run; a key of the metadata that is null is removed."""

    tags: list[Text] = []
    without: list[Text] = []
    metadata: dict[str, Any] = {}


class Explained(Jsonable, msgspec.Struct, frozen=True):
    """Why a run is in its state."""

    id: str
    status: RunStatus
    reasons: list[Reason]

    def to_dict(self) -> dict[str, Any]:
        """As `segue explain --json`."""
        return {"id": self.id, "status": self.status.value, "reasons": [reason_record(each) for each in self.reasons]}


class ExplainQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """About which step; without one, about the run."""

    step: Text | None = None


class RunResult(msgspec.Struct):
    """The result of a run that succeeded."""

    result: Any


@operation("GET", "/runs", Role.VIEWER)
def list_runs(call: Call, query: RunsQuery) -> RunsPage:
    """List runs, the newest first; failed ones by the time of their failure.

    It looks at 20,000 runs at most. A page may then have fewer items than `limit`: `next` continues the search.
    """
    found = call.segue.pages(cursor=query.before, limit=query.limit, **query.chosen())
    return RunsPage([masked_run(call, run) for run in found.runs], found.next, found.looked_back_to)


@operation("POST", "/runs", Role.OPERATOR, status=201)
def start_run(call: Call, body: NewRun) -> RunDetail:
    """Start a run of a workflow or task by its name; it is durable when this answers.

    A second start with the same `key`, or the same header `Idempotency-Key`, finds the run of the first; `is_new` is
    then false. A workflow whose code this server does not have is called by a process that has it.
    """
    refuse_own(call, body.name)
    run = start_by_name(
        call.segue, body.name, body.args, body.kwargs, key=body.key or call.idempotency_key, reuse_key=body.reuse_key,
        tags=body.tags, metadata=body.metadata, deadline=body.deadline, may_start=lambda name: refuse_own(call, name),
        run_at=None if body.run_at is None else moment(body.run_at),
    )  # fmt: skip
    return detail(call, run)


@operation("GET", "/runs/{run_id}", Role.VIEWER)
def get_run(call: Call, run_id: str) -> RunDetail:
    """A run, with the number of its steps in each status. The id may be its last 8 digits."""
    return detail(call, call.segue.get(run_id))


@operation("PATCH", "/runs/{run_id}", Role.OPERATOR)
def annotate_run(call: Call, run_id: str, body: Labels) -> RunDetail:
    """Add tags to a run, remove some, and set keys of its metadata."""
    run = call.segue.get(run_id)
    call.segue.annotate(run, tags=body.tags, without=body.without, metadata=body.metadata or None)
    return detail(call, run)


@operation("POST", "/runs/{run_id}/pause", Role.OPERATOR)
def pause_run(call: Call, run_id: str, body: Pause) -> RunDetail:
    """Pause a run: running steps finish, and no other begins."""
    run = call.segue.get(run_id)
    run.pause(stop_running=body.stop_running, actor=call.actor, reason=body.reason)
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
def retry_run(call: Call, run_id: str, body: Retry) -> RunDetail:
    """Run the failed steps of a run again; or, with `step`, that step and all steps below it."""
    run = call.segue.get(run_id)
    run.retry(body.step, fresh=body.fresh, actor=call.actor, reason=body.reason)
    return detail(call, run)


@operation("POST", "/runs/{run_id}/fork", Role.OPERATOR, status=201)
def fork_run(call: Call, run_id: str, body: Fork) -> RunDetail:
    """Start a new run that takes over the work of this one, and differs from a step on."""
    run = call.segue.get(run_id)
    if body.args is not None or body.kwargs:
        refuse_own(call, run.step(body.step).info().task)
    key = body.key or (f"fork:{call.idempotency_key}" if call.idempotency_key else None)
    made = run.fork(
        body.step, args=body.args, kwargs=body.kwargs, key=key, tags=body.tags,
        metadata=body.metadata, actor=call.actor, reason=body.reason,
    )  # fmt: skip
    return detail(call, made)


@operation("POST", "/runs/{run_id}/send", Role.OPERATOR)
def send_message(call: Call, run_id: str, body: Message) -> Sent:
    """Send a message to a run: the step that waits for its name takes it, now or later."""
    return call.segue.get(run_id).send(body.name, body.value, key=body.key or call.idempotency_key)


@operation("GET", "/runs/{run_id}/explain", Role.VIEWER)
def explain_run(call: Call, run_id: str, query: ExplainQuery) -> Explained:
    """Why a run, or a step of it, is in its state, and what would change that."""
    run = call.segue.get(run_id)
    return Explained(run.id, run.status, [without_secrets(each) for each in run.explain(query.step)])


@operation("GET", "/runs/{run_id}/result", Role.VIEWER)
def get_result(call: Call, run_id: str) -> RunResult:
    """The result of a run that succeeded; a problem of status 409 for another. Viewers do not see secrets in it."""
    run = call.segue.get(run_id)
    info = run.info()
    if not info.status.is_final:
        raise NotFinishedError(f"run {run.id} is {info.status}; ask again when it has ended")
    plain = json.decode(encode(run.result()))
    return RunResult(plain if call.identity.role >= Role.OPERATOR else call.masker.masked_result(info.workflow, plain))


@operation("GET", "/runs/{run_id}/progress", Role.VIEWER)
def get_progress(call: Call, run_id: str) -> RunProgress:
    """How far a run is: its steps in each status, and those that run now."""
    found = call.segue.get(run_id).progress()
    return msgspec.structs.replace(found, running=tuple(masked_step(call, step) for step in found.running))
