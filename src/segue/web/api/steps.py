"""The steps of a run: look at one, and correct it by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec

from segue.client import Run
from segue.client.masked_views import without_secrets
from segue.client.step import editing, result_text, retrying
from segue.client.verbs import Verb, say_to
from segue.client.verbs import mark_step as marking
from segue.client.verbs import skip_step as skipping
from segue.client.views import AttemptInfo, CheckpointInfo, StepGroups, StepInfo
from segue.client.waiting import short
from segue.engine.views.graph import RunGraph, graph_of_run
from segue.errors import StepNotFoundError
from segue.model import RunStatus, StepStatus
from segue.web.api.given import Limit, Text, Why
from segue.web.api.own_tasks import refuse_own
from segue.web.api.shown import masked_step
from segue.web.operations import Call, operation
from segue.web.roles import Role

MOST_DIGITS = 9
MOST_DRAWN = 2000
"""Steps of a page of a graph."""

MOST_OPENED = 20


class StepsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which steps, and which page of them."""

    status: StepStatus | None = None
    name: Text | None = None
    after: Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)] = -1  # the number of a step: those behind it
    limit: Limit = 100


class StepsPage(msgspec.Struct):
    """Steps in order of their numbers, and where the next page begins: give `next` as `after`."""

    items: list[StepInfo]
    next: str | None


class MembersQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which steps of a group."""

    status: StepStatus | None = None
    after: Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)] = -1
    limit: Limit = 100


class StepDone(msgspec.Struct):
    """What became of a step that was changed by hand."""

    id: str  # of the run
    status: RunStatus
    changed: bool  # False: it was so already
    step: int
    name: str
    step_status: StepStatus


class Mark(Why, forbid_unknown_fields=True, omit_defaults=True):
    """The result that a step gets: any JSON value."""

    result: Any = None


class Edit(Why, forbid_unknown_fields=True, omit_defaults=True):
    """New arguments. `args` replaces all positional ones; each of `kwargs` is set by its name."""

    args: list[Any] = []
    kwargs: dict[str, Any] = {}


class RetryStep(Why, forbid_unknown_fields=True, omit_defaults=True):
    """How to run a step again."""

    fresh: bool = False  # its task does not go on from its checkpoints


class StepLabels(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Keys of the metadata of a step; one that is null is removed."""

    metadata: dict[str, Any] = {}


class OutputQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Of which attempt; without one, of the latest."""

    attempt: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None


class StepOutput(msgspec.Struct):
    """The end of what an attempt has printed."""

    attempt: int
    output: str
    is_over: bool  # it prints nothing more


class GraphQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which page of the steps."""

    after: Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)] = -1
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_DRAWN)] = MOST_DRAWN


class FoldedQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The numbers of the steps whose returned plans are shown as well."""

    open: Annotated[
        list[Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]], msgspec.Meta(max_length=MOST_OPENED)
    ] = []  # fmt: skip


class Graph(msgspec.Struct):
    """Steps of a run, in order, and their edges: [a, b] says that b needs a. b may be on another page."""

    nodes: list[StepInfo]
    edges: list[tuple[int, int]]
    next: str | None  # give it as `after` for the next page; None: there are no more steps


@operation("GET", "/runs/{run_id}/steps", Role.VIEWER)
def list_steps(call: Call, run_id: str, query: StepsQuery) -> StepsPage:
    """List the steps of a run, in order of their numbers."""
    run = call.segue.get(run_id)
    found = run.steps(status=query.status, name=query.name, after=query.after, limit=query.limit)
    steps = [masked_step(call, step) for step in found]
    return StepsPage(steps, str(found[-1].step) if len(found) == query.limit else None)


@operation("GET", "/runs/{run_id}/groups", Role.VIEWER)
def list_groups(call: Call, run_id: str) -> StepGroups:
    """The steps of a run in groups: the items of a `map` are one. The database counts them, also for 100,000 steps."""
    return call.segue.get(run_id).groups()


@operation("GET", "/runs/{run_id}/groups/{first}", Role.VIEWER)
def list_members(call: Call, run_id: str, first: str, query: MembersQuery) -> StepsPage:
    """The steps of the group whose first step has this number."""
    if not first.isdecimal() or len(first) > MOST_DIGITS:
        raise StepNotFoundError(f"{first[:100]!r} is not the number of a step.")
    found = call.segue.get(run_id).members(int(first), status=query.status, after=query.after, limit=query.limit)
    steps = [masked_step(call, step) for step in found]
    return StepsPage(steps, str(found[-1].step) if len(found) == query.limit else None)


@operation("GET", "/runs/{run_id}/graph", Role.VIEWER)
def get_graph(call: Call, run_id: str, query: GraphQuery) -> Graph:
    """The steps of a run and the edges between them, at most 2,000 steps a page. Folded, it is always small."""
    found = call.segue.get(run_id).steps(after=query.after, limit=query.limit + 1)
    steps = found[: query.limit]
    edges = [(step.step, child) for step in steps for child in step.children if child >= 0]
    following = str(steps[-1].step) if len(found) > query.limit else None
    return Graph([masked_step(call, step) for step in steps], edges, following)


@operation("GET", "/runs/{run_id}/graph/folded", Role.VIEWER)
def get_folded_graph(call: Call, run_id: str, query: FoldedQuery) -> RunGraph:
    """The graph of a run of any size: in a large one, all steps of a name are one node, with their statuses counted.

    What a task returned is there if its step is in `open`, or if the run is small.
    """
    run = call.segue.get(run_id)
    with call.segue.engine.reading() as tx:
        return graph_of_run(tx, run.id, opened=query.open)


@operation("GET", "/runs/{run_id}/attempts", Role.VIEWER)
def list_attempts(call: Call, run_id: str) -> list[AttemptInfo]:
    """The attempts of a run that failed, were lost or printed something."""
    return [without_secrets(each) for each in call.segue.get(run_id).attempts()]


@operation("GET", "/runs/{run_id}/steps/{step:name}", Role.VIEWER)
def get_step(call: Call, run_id: str, step: str) -> StepInfo:
    """A step by its name or number, with its arguments and its result."""
    return masked_step(call, call.segue.get(run_id).step(step).info())


@operation("PATCH", "/runs/{run_id}/steps/{step:name}", Role.OPERATOR)
def annotate_step(call: Call, run_id: str, step: str, body: StepLabels) -> StepInfo:
    """Set keys of the metadata of a step."""
    run = call.segue.get(run_id)
    call.segue.annotate(run, step=step, metadata=body.metadata)
    return masked_step(call, run.step(step).info())


@operation("GET", "/runs/{run_id}/steps/{step:name}/attempts", Role.VIEWER)
def list_step_attempts(call: Call, run_id: str, step: str) -> list[AttemptInfo]:
    """The attempts of a step that failed, were lost or printed something."""
    run = call.segue.get(run_id)
    return [without_secrets(each) for each in run.attempts(step=run.step(step).info().step)]


@operation("GET", "/runs/{run_id}/steps/{step:name}/checkpoints", Role.VIEWER)
def list_checkpoints(call: Call, run_id: str, step: str) -> list[CheckpointInfo]:
    """What the task of a step has recorded inside it, in order."""
    return [without_secrets(each) for each in call.segue.get(run_id).step(step).checkpoints()]


@operation("GET", "/runs/{run_id}/steps/{step:name}/output", Role.VIEWER)
def get_output(call: Call, run_id: str, step: str, query: OutputQuery) -> StepOutput:
    """The end of what an attempt of a step has printed."""
    run = call.segue.get(run_id)
    found = without_secrets(call.segue.executors.output(run.id, step, attempt=query.attempt))
    return StepOutput(found.attempt, found.text, found.is_over)


@operation("POST", "/runs/{run_id}/steps/{step:name}/retry", Role.OPERATOR)
def retry_step(call: Call, run_id: str, step: str, body: RetryStep) -> StepDone:
    """Run a step and all steps below it again, including those that succeeded."""
    verb = retrying(step, fresh=body.fresh, actor=call.actor, reason=body.reason)
    return _done(call, run_id, step, lambda run: verb)


@operation("POST", "/runs/{run_id}/steps/{step:name}/skip", Role.OPERATOR, is_destructive=True)
def skip_step(call: Call, run_id: str, step: str, body: Why) -> StepDone:
    """Skip a step that has not begun, failed or was cancelled."""
    verb = partial(skipping, step=step, actor=call.actor, reason=body.reason)
    return _done(call, run_id, step, lambda run: verb)


@operation("POST", "/runs/{run_id}/steps/{step:name}/mark", Role.OPERATOR)
def mark_step(call: Call, run_id: str, step: str, body: Mark) -> StepDone:
    """Make a step succeeded with a result, which is any JSON value."""
    text = short(result_text(body.result), call.segue.engine.payloads)
    verb = partial(marking, step=step, result=text, actor=call.actor, reason=body.reason)
    return _done(call, run_id, step, lambda run: verb)


@operation("POST", "/runs/{run_id}/steps/{step:name}/edit", Role.OPERATOR)
def edit_step(call: Call, run_id: str, step: str, body: Edit) -> StepDone:
    """Change the arguments of a step that has not begun, or is to be retried."""

    def verb(run: Run[Any]) -> Verb:
        refuse_own(call, run.step(step).info().task)
        return editing(step, body.args, body.kwargs, actor=call.actor, reason=body.reason)

    return _done(call, run_id, step, verb)


def _done(call: Call, run_id: str, step: str, make: Callable[[Run[Any]], Verb]) -> StepDone:
    run = call.segue.get(run_id)
    done = say_to(call.segue.engine, make(run), run.id)
    info = run.step(step).info()
    return StepDone(run.id, RunStatus(done.status), done.changed, info.step, info.name, info.status)
