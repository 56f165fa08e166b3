"""Many runs at once: look at what a verb would be applied to, then let a worker apply it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from segue.client.records import run_record
from segue.client.selection import Selection
from segue.client.views import RunInfo
from segue.jsonable import Jsonable
from segue.web.api.given import Filters, Text
from segue.web.api.shown import RunDetail, detail, masked_run
from segue.web.operations import Call, operation
from segue.web.problems import ProblemError
from segue.web.roles import Role

Verb = Literal["pause", "resume", "cancel", "retry", "annotate"]


class PreviewQuery(Filters, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A verb, and the runs for which it is meant."""

    verb: Verb = "cancel"
    ids: list[Text] = []


class PreviewInfo(Jsonable, msgspec.Struct, frozen=True):
    """What a verb would be applied to now. `newest_id` is what `apply` takes."""

    verb: str
    count: int  # 10,001 also means more
    newest_id: str | None
    newest_at: Any
    oldest_at: Any
    workflows: dict[str, int]
    errors: dict[str, int]
    first: tuple[RunInfo, ...]

    def to_dict(self) -> dict[str, Any]:
        """Its fields; the runs as they are listed."""
        return super().to_dict() | {"first": [run_record(run) for run in self.first]}


class Order(Filters, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What to do to which runs. Runs that are newer than `newest_id` are left alone."""

    verb: Verb
    newest_id: Text | None = None  # of a preview
    ids: Annotated[list[Text], msgspec.Meta(max_length=10_000)] = []
    reason: Text | None = None
    stop_running: bool = False  # of pause
    fresh: bool = False  # of retry
    step: Text | None = None  # of retry: that step and all below it
    tags: list[Text] = []  # of annotate: these are added
    without: list[Text] = []  # of annotate: these are removed
    metadata: dict[str, Any] = {}  # of annotate


@operation("GET", "/selections/preview", Role.VIEWER)
def preview_selection(call: Call, query: PreviewQuery) -> PreviewInfo:
    """What a verb would be applied to: how many runs, of which workflows, and the newest ten. It changes nothing."""
    found = _selection(call, query, query.ids).preview(query.verb)
    fields = msgspec.structs.asdict(found) | {"first": tuple(masked_run(call, run) for run in found.first)}
    return PreviewInfo(**fields)


@operation("POST", "/selections/apply", Role.OPERATOR, is_destructive=True, status=202)
def apply_selection(call: Call, body: Order) -> RunDetail:
    """Apply a verb to all runs that match, in the background: the answer is the run of `segue.bulk` that does it."""
    if not body.ids and not body.chosen() and body.newest_id is None:
        raise ProblemError(
            422, "NoSelection", "Select the runs by a filter or ids, or give the newest_id of a preview."
        )
    if body.verb == "annotate" and not (body.tags or body.without or body.metadata):
        raise ProblemError(422, "NothingToDo", "Give tags to add, tags to take away, or metadata.")
    selection = _selection(call, body, body.ids)
    if body.newest_id is not None:
        selection = selection.up_to(body.newest_id)
    order = selection.in_background(key=call.idempotency_key)
    who: dict[str, Any] = {"actor": call.actor, "reason": body.reason}
    match body.verb:
        case "pause":
            run = order.pause(stop_running=body.stop_running, **who)
        case "resume":
            run = order.resume(**who)
        case "cancel":
            run = order.cancel(**who)
        case "retry":
            run = order.retry(step=body.step, fresh=body.fresh, **who)
        case _:
            run = order.annotate(tags=body.tags, without=body.without, metadata=body.metadata or None, **who)
    return detail(call, run)


def _selection(call: Call, filters: Filters, ids: list[str]) -> Selection:
    chosen = filters.chosen()
    if ids:
        chosen["ids"] = ids
    return call.segue.select(**chosen)
