"""Forms that do operations, for people: each operation of the API that changes something has one at /act/...

GET shows a page that asks again, with a field for each value; it works without JavaScript. POST does it, and returns
to where the person was, with a line that says what happened.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from segue.client.views import RunInfo, Sent
from segue.errors import SegueError
from segue.masking import is_secret_name
from segue.web.api.routes import answering, perform
from segue.web.api.shown import RunDetail, masked_run
from segue.web.argument_fields import gathered
from segue.web.flash import leave
from segue.web.operations import OPERATIONS, Call, Operation
from segue.web.pages.frame import error_page, view_of
from segue.web.paths import fixed_first, own_path, root_of
from segue.web.problems import ProblemError, problem_of
from segue.web.rendering import rendered
from segue.web.requests import call_of, decoded_form, sent_pairs
from segue.web.site import Site

OURS = ("next", "undo", "said", "back", "again", "expected", "typed")
"""Fields of the form itself, not of the operation. `back` is the page of the form, which is shown again, with
what was filled in, if the operation is refused; `again` is one that is shown as it was. `typed` has to be the number
`expected`, if there is one: what touches many runs is confirmed."""

ITS_RUN = "@run"
"""As `next`: the run that the operation has started."""

MOST_KEPT = 4000
"""Characters of what was filled in that are kept for a form that is shown again."""


HINTS = {"json": "JSON", "lines": "One in each line"}
"""What is said below a field of a kind."""


def form_routes(site: Site) -> list[BaseRoute]:
    """Two routes for each operation that changes something."""
    routes: list[BaseRoute] = []
    for each in fixed_first(each for each in OPERATIONS.values() if each.changes):
        path = f"/act{each.path}" if each.method == "POST" else f"/act{each.path}/{each.method.lower()}"
        routes.append(Route(path, _asking(site, each), methods=["GET"]))
        routes.append(Route(path, _doing(site, each), methods=["POST"]))
    return routes


def _asking(site: Site, operation: Operation) -> Callable[[Request], Any]:
    async def asking(request: Request) -> Response:
        call = call_of(site, request)
        if not operation.is_allowed(call.identity):
            raise ProblemError(403, "Forbidden", f"{operation.name} needs the role {operation.role.word}.")
        view = await site.in_thread(view_of, call, request)
        given = {name: values[-1] for name, values in parse_qs(request.url.query).items()}
        data = {
            "operation": operation, "fields": _asked(operation, call), "given": given,
            "next": own_path(given.get("next", "/")), "parameters": request.path_params,
            "run": await site.in_thread(_run_of, call, request.path_params),
        }  # fmt: skip
        text = await site.in_thread(lambda: rendered("act.html", view, title=operation.summary, data=data))
        return Response(text, media_type="text/html")

    return answering(asking, functools.partial(error_page, site), route=f"/act{operation.path}")


def _doing(site: Site, operation: Operation) -> Callable[[Request], Any]:
    async def doing(request: Request) -> Response:
        call = call_of(site, request)
        given = await sent_pairs(request)
        mine = {name: value for name, value in given if name in OURS}
        filled = [(name, value) for name, value in given if name not in OURS and value]
        try:
            _check_typed(mine)
            arguments = arguments_of(operation, call, request, filled)
            done = await site.in_thread(lambda: perform(operation, call, **arguments))
        except (ProblemError, SegueError) as error:
            problem = problem_of(error)
            if problem is None or problem.status in (401, 403, 500, 503):
                raise
            answer = RedirectResponse(root_of(request.scope) + _back(mine, filled), 303)
            leave(answer, problem.detail, is_error=True)
            return answer
        answer = RedirectResponse(root_of(request.scope) + _next(mine, done), 303)
        if isinstance(done, Sent) and not done.is_new:
            leave(answer, f"{done.name} was answered before; nothing was changed.")
        else:
            leave(answer, mine.get("said") or f"Done: {operation.summary.rstrip('.')}.", undo=mine.get("undo"))
        return answer

    return answering(doing, functools.partial(error_page, site), route=f"/act{operation.path}")


def arguments_of(
    operation: Operation, call: Call, request: Request, filled: Sequence[tuple[str, str]]
) -> dict[str, Any]:  # fmt: skip
    """What an operation is called with: the names in its path, and what was filled in. Raises ProblemError."""
    arguments: dict[str, Any] = dict(request.path_params)
    if operation.body is not None and operation.is_allowed(call.identity):  # `perform` refuses the others
        arguments["body"] = decoded_form(operation.body, urlencode(gathered(filled)))
    return arguments


def _run_of(call: Call, parameters: Mapping[str, str]) -> RunInfo | None:
    """The run that the operation is about, so that people see that it is the right one; None: it is about none."""
    if "run_id" in parameters:
        with suppress(SegueError):  # doing it will say what is wrong
            return masked_run(call, call.segue.get(parameters["run_id"]).info())
    return None


def _asked(operation: Operation, call: Call) -> list[Field]:
    """The fields of a form, with a reason where the site insists on one."""
    found = fields_of(operation)
    if not (call.settings.requires_reason and operation.is_destructive):
        return found
    return [msgspec.structs.replace(each, is_required=True) if each.name == "reason" else each for each in found]


def _check_typed(mine: Mapping[str, str]) -> None:
    """Refuse what has to be confirmed by a number, and was not. Raises ProblemError."""
    expected = mine.get("expected")
    if expected is not None and re.sub(r"[\s,.']", "", mine.get("typed", "")) != expected:
        raise ProblemError(422, "NotConfirmed", f"Nothing was done: type the number of runs, {expected}, to confirm.")


def _next(mine: Mapping[str, str], done: Any) -> str:
    """Where a person comes after an operation was done."""
    if mine.get("next") == ITS_RUN and isinstance(done, RunDetail):
        return f"/runs/{done.run.id}"
    return own_path(mine.get("next", "/"))


def _back(mine: Mapping[str, str], filled: list[tuple[str, str]]) -> str:
    """Where a person comes after an operation was refused: to the form, with what they had filled in but secrets."""
    if "again" in mine:
        return own_path(mine["again"])
    if "back" not in mine:
        return own_path(mine.get("next", "/"))
    path, _, query = own_path(mine["back"]).partition("?")
    kept = [pair for pair in filled if not is_secret_name(pair[0].rpartition(":")[2])]
    names = {name for name, _ in kept}
    told = urlencode([*(pair for pair in parse_qsl(query) if pair[0] not in names), *kept])
    return f"{path}?{told}" if len(told) <= MOST_KEPT else own_path(mine["back"])


class Field(msgspec.Struct, frozen=True):
    """A field of a form."""

    name: str
    label: str
    kind: str  # "text", "secret", "number", "checkbox", "json", "select" or "lines"
    is_required: bool
    options: tuple[str, ...] = ()
    hint: str = ""  # a sentence below it


def fields_of(operation: Operation) -> list[Field]:
    """The fields of the form of an operation, from the type of its body."""
    if operation.body is None:
        return []
    return [_field(each) for each in msgspec.structs.fields(operation.body)]


def _field(each: msgspec.structs.FieldInfo) -> Field:
    kind, options = _kind(msgspec.inspect.type_info(each.type))
    if options and not each.required:
        options = ("", *options)
    label = each.encode_name.replace("_", " ")
    return Field(each.encode_name, label, kind, each.required, options, HINTS.get(kind, ""))


def _kind(info: msgspec.inspect.Type) -> tuple[str, tuple[str, ...]]:
    """How a person fills in a value of this type, and among what they choose."""
    if isinstance(info, msgspec.inspect.Metadata):
        return _kind(info.type)
    if isinstance(info, msgspec.inspect.UnionType):
        given = [each for each in info.types if not isinstance(each, msgspec.inspect.NoneType)]
        return _kind(given[0]) if len(given) == 1 else ("json", ())
    if isinstance(info, msgspec.inspect.LiteralType):
        return "select", tuple(str(each) for each in info.values)
    if isinstance(info, msgspec.inspect.EnumType):
        return "select", tuple(str(each.value) for each in info.cls)
    for kinds, field in _FIELDS:
        if isinstance(info, kinds):
            return field, ()
    return "json", ()


_FIELDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((msgspec.inspect.BoolType,), "checkbox"),
    ((msgspec.inspect.IntType, msgspec.inspect.FloatType), "number"),
    ((msgspec.inspect.StrType, msgspec.inspect.DateTimeType), "text"),
    ((msgspec.inspect.ListType, msgspec.inspect.VarTupleType), "lines"),
)
