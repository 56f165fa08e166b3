"""Forms with a field for each argument: to start a run, to fork one, to edit the arguments of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from segue.client import Run
from segue.client.views import DefinitionInfo, RunInfo
from segue.errors import StepNotFoundError
from segue.masking import HIDDEN
from segue.web.api.shown import masked_run, masked_step
from segue.web.argument_fields import argument_fields
from segue.web.operations import Call
from segue.web.pages.frame import Page, View, page
from segue.web.pages.run_head import page_of_run
from segue.web.pages.step import with_names
from segue.web.requests import number_or_name
from segue.web.roles import Role

MOST_LISTED = 500


@page("/start", Role.OPERATOR)
def start_page(view: View) -> Page:
    """What can be started; with `name`, the form of one; with `from`, filled in as that run was."""
    given = dict(parse_qsl(view.query))
    definitions = [each for each in view.call.segue.definitions() if not each.name.startswith("segue.")]
    values = dict(given)
    if "from" in given:
        values = _as_before(view.call, given["from"]) | values
    wanted = values.get("name", "")
    found = next((each for each in definitions if each.name == wanted), None)
    if not wanted:
        shown = sorted(definitions, key=lambda each: (each.kind != "workflow", each.name))
        return Page(
            "start.html", "Start a run", {"definitions": shown[:MOST_LISTED]}, also={"is_cut": len(shown) > MOST_LISTED}
        )
    schema: Mapping[str, Any] = {} if found is None else found.parameters
    data = {"name": wanted, "parameters": schema}
    also = {"definition": found, "fields": argument_fields(schema), "given": _filled(values, schema)}
    return Page("start_one.html", f"Start {wanted}", data, also=also)


@page_of_run("/fork", Role.OPERATOR)
def fork_page(view: View, run: Run[Any], info: RunInfo) -> Page:
    """A new run that takes over the work of this one, and differs from a step on."""
    given = dict(parse_qsl(view.query))
    wanted, problem = given.get("step", ""), ""
    fields: list[Any] = []
    name = ""
    if wanted:
        try:
            step = run.step(number_or_name(wanted)).info()
            name = step.name
            fields = _new_arguments(view.call, step.task or "", masked_step(view.call, step).arguments)
        except StepNotFoundError as error:
            problem = str(error)
    names = [] if name else [group.name for group in run.groups().groups if group.count == 1][:100]
    data = {"run": masked_run(view.call, info), "step": name or None}
    also = {"fields": fields, "given": given, "problem": problem, "names": names}
    return Page("fork.html", f"Fork {info.workflow}", data, also=also)


@page_of_run("/steps/{step:name}/edit", Role.OPERATOR)
def edit_page(view: View, run: Run[Any], info: RunInfo) -> Page:
    """New arguments for a step that has not begun, or is to be retried."""
    step = masked_step(view.call, run.step(number_or_name(view.path["step"])).info())
    fields = _new_arguments(view.call, step.task or "", step.arguments)
    data = {"run": masked_run(view.call, info), "step": step}
    return Page("edit.html", f"Edit {step.name}", data, also={"fields": fields, "given": dict(parse_qsl(view.query))})


def _new_arguments(call: Call, task: str, arguments: list[Any] | None) -> list[Any]:
    """Fields in which nothing must be filled in: an empty one leaves the argument as it is."""
    found = _definition(call, task)
    known = with_names(call, task, arguments) if arguments and len(arguments) == 2 else []
    hints = {name: f"Now: {msgspec.json.encode(value).decode('utf-8', 'replace')[:200]}" for name, value in known}
    return argument_fields({} if found is None else found.parameters, required=False, hints=hints)


def _definition(call: Call, name: str) -> DefinitionInfo | None:
    return next((each for each in call.segue.definitions() if each.name == name), None)


def _as_before(call: Call, run_id: str) -> dict[str, str]:
    """The name and the arguments of a run, as fields; secrets are left out."""
    info = masked_run(call, call.segue.get(run_id).info())
    found = {"name": info.workflow}
    if info.arguments is not None:
        for name, value in with_names(call, info.workflow, info.arguments):
            if value != HIDDEN:
                found[f"={name}"] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return found


def _filled(values: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the fields: what was typed, or what an earlier run had under the name of the parameter."""
    known = {field.name: values.get(f"={field.label}", "") for field in argument_fields(schema)}
    return known | {name: value for name, value in values.items() if not name.startswith("=")}
