"""Workflows: all of which there are runs, and one with its last runs as bars."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import msgspec

from segue.client.views import DefinitionInfo, RunInfo
from segue.engine.limiting.limits import run_limit
from segue.errors import ConfigError
from segue.plan.namespaces import DEFAULT, EVERY, stored
from segue.web.drawing.run_bars import Bar, run_bars
from segue.web.kept import shared
from segue.web.pages.frame import Page, View, page
from segue.web.pages.schedules import zones
from segue.web.problems import ProblemError
from segue.web.requests import decoded_query

PAGE = 100
LAST = 100
SHOWN = 10


class WorkflowsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which page: those after this name."""

    after: Annotated[str, msgspec.Meta(max_length=1000)] = ""


@page("/workflows")
def workflows(view: View) -> Page:
    """The workflows and tasks of which there are runs, by name; then what is defined and has none."""
    query = decoded_query(WorkflowsQuery, view.query)
    defined = {each.name: each for each in _definitions(view)}
    found = view.call.segue.workflows(after=query.after, limit=PAGE)
    shown = [msgspec.structs.replace(each, last=None if each.last is None else view.call.masker.run(each.last))
             for each in found]  # fmt: skip
    started = {each.name for each in found}
    others = [each for each in defined.values() if each.name not in started and not each.name.startswith("segue.")]
    is_whole = not query.after and len(found) < PAGE
    data = {"workflows": shown, "next": found[-1].name if len(found) == PAGE else None}
    also = {"defined": defined, "others": others if is_whole else []}
    return Page("workflows.html", "Workflows", data, live="workflows" if not query.after else None, also=also)


@page("/workflows/{name:name}")
def workflow(view: View) -> Page:
    """One workflow or task: its last runs, their errors, its schedules, its limit."""
    segue, name = view.call.segue, view.path["name"]
    definition = next((each for each in _definitions(view) if each.name == name), None)
    try:
        found = [view.call.masker.run(run) for run in segue.runs(workflow=name, limit=LAST)]
    except ConfigError:  # no workflow can have such a name
        found = []
    schedules = segue.schedules.list(workflow=name)
    if not found and definition is None and not schedules:
        raise ProblemError(404, "NotFound", f"There is no run of {name[:100]!r}, and no live worker defines it.")
    with segue.engine.reading() as tx:
        limit = run_limit(tx, stored(DEFAULT if segue.namespace == EVERY else segue.namespace, name))
    errors = Counter((run.error.type, run.error.step) for run in found if run.error is not None)
    data = {"name": name, "runs": found, "definition": definition, "schedules": schedules, "limit": limit}
    also = {
        "bars": run_bars(_bars(view, found), label=_label(found)), "shown": found[:SHOWN],
        "figures": _figures(view, found),
        "errors": [(kind, step, count) for (kind, step), count in errors.most_common(SHOWN)],
        "next_ticks": [
            (each, zones(view, each.timezone)(each.next_tick) if each.next_tick and each.state == "active" else None)
            for each in schedules
        ],
        "parameters": parameters_of(definition),
    }  # fmt: skip
    return Page("workflow.html", f"{name} · workflow", data, live=f"workflow:{name}", also=also)


def _definitions(view: View) -> list[DefinitionInfo]:
    """What is defined; secrets among arguments are then hidden by what was read here."""
    found = shared(view, "definitions", view.call.segue.definitions)
    view.call.masker.learn(found)
    return found


def parameters_of(definition: DefinitionInfo | None) -> list[tuple[str, str, bool]]:
    """The parameters of a workflow or task: name, type in words, and whether it must be given."""
    if definition is None:
        return []
    required = definition.parameters.get("required", ())
    properties: dict[str, Any] = definition.parameters.get("properties") or {}
    return [(name, _type_of(each), name in required) for name, each in properties.items()]


def _type_of(schema: Any) -> str:
    if not isinstance(schema, dict):
        return ""
    kind = schema.get("format") or schema.get("type") or ""
    if not kind and isinstance(schema.get("anyOf"), list):
        return " or ".join(filter(None, map(_type_of, schema["anyOf"])))
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _bars(view: View, runs: list[RunInfo]) -> list[Bar]:
    return [
        Bar(f"{view.root}/runs/{run.id}", run.status.value, seconds_of(view, run), run.key or run.id[-8:])
        for run in reversed(runs)
    ]


def seconds_of(view: View, run: RunInfo) -> float | None:
    """How long a run took, or takes until now."""
    if run.started_at is None:
        return None
    return max(((run.finished_at or view.now) - run.started_at).total_seconds(), 0.0)


def _label(runs: list[RunInfo]) -> str:
    counts = Counter(run.status.value for run in runs)
    return f"the last {len(runs)} runs: " + ", ".join(f"{count} {status}" for status, count in counts.most_common())


def _figures(view: View, runs: list[RunInfo]) -> dict[str, Any]:
    took = sorted(
        seconds for run in runs if run.status.value == "succeeded" and (seconds := seconds_of(view, run)) is not None
    )
    ended = [run for run in runs if run.status.is_final]
    failed = sum(run.status.value == "failed" for run in ended)
    return {
        "median": took[len(took) // 2] if took else None, "longest": took[-1] if took else None,
        "failed": failed, "ended": len(ended), "live": len(runs) - len(ended),
    }  # fmt: skip
