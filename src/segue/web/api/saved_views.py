"""Lists with a name: what people look at again and again, for themselves or for all."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated

import msgspec

from segue.engine import saved_views
from segue.engine.saved_views import EVERYBODY, SavedView
from segue.plan.indexed import MOST_NAME_BYTES, name_problem
from segue.web.api.access import Nothing
from segue.web.operations import Call, operation
from segue.web.problems import ProblemError
from segue.web.roles import Role
from segue.web.saved_links import MOST_CHARACTERS, is_own, own_link

MOST_NAME_LENGTH = 60


class NewView(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A name for a list, as "/runs?status=failed". `shared` makes it for all; `replace` permits to take a used name."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_NAME_LENGTH)]
    link: Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]
    shared: bool = False
    replace: bool = False


@operation("GET", "/views", Role.VIEWER)
def list_views(call: Call) -> list[SavedView]:
    """List the saved views: those of the caller, and those for all."""
    with call.segue.engine.reading() as tx:
        found = saved_views.list_views(tx, call.segue.namespace, _owner(call) or EVERYBODY)
    return [view for view in found if is_own(view.link)]


@operation("POST", "/views", Role.VIEWER, status=201)
def save_view(call: Call, body: NewView) -> SavedView:
    """Save a view: give a name to a list with its filters, for oneself or, as an operator, for all."""
    name, owner = body.name.strip(), _owner(call)
    if not name or not name.isprintable():
        raise ProblemError(422, "InvalidName", f"A view needs a name of 1 to {MOST_NAME_LENGTH} printable characters.")
    if body.shared:
        _check_shares(call)
    elif owner is None:
        raise ProblemError(422, "NoOwner", "The caller has no name with which a view could be stored.")
    link = own_link(body.link, now=call.segue.engine.store.now(), zone=UTC)
    saved = call.segue.engine.act(
        saved_views.save_view, call.segue.namespace, EVERYBODY if body.shared or owner is None else owner,
        name=name, link=link, replace=body.replace, actor=call.actor,
    )  # fmt: skip
    if saved is None:
        raise ProblemError(
            409, "ViewExists", f"There is a view named {name} already. Check replace to save this one instead of it."
        )
    found: SavedView = next(view for view in list_views(call) if view.id == saved)
    return found


@operation("DELETE", "/views/{view_id}", Role.VIEWER, is_destructive=True)
def delete_view(call: Call, view_id: str) -> Nothing:
    """Delete a saved view: one's own, or, as an operator, one for all."""
    found = next((view for view in list_views(call) if view.id == view_id), None)
    if found is None:
        raise ProblemError(404, "ViewNotFound", "There is no such view, or it is another person's.")
    if found.is_shared:
        _check_shares(call)
    owner = EVERYBODY if found.is_shared else _owner(call) or EVERYBODY
    call.segue.engine.act(saved_views.delete_view, call.segue.namespace, owner, view_id)
    return Nothing()


def may_share(call: Call) -> bool:
    """Whether the caller may save and delete what is for all."""
    return call.identity.role >= Role.OPERATOR


def _check_shares(call: Call) -> None:
    if not may_share(call):
        raise ProblemError(403, "Forbidden", "Views for all are saved and deleted by operators.")


def _owner(call: Call) -> str | None:
    """Whose views the caller has: without a login, those of everybody. None: there is no name to store."""
    if call.identity.how == "local":
        return EVERYBODY
    name = call.identity.name
    return name if name_problem(name, MOST_NAME_BYTES) is None else None
