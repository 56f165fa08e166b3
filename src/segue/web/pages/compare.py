"""Two runs side by side: what they were given, and the groups of steps that differ."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec

from segue.client.views import RunInfo, StepGroup
from segue.errors import SegueError
from segue.web.api.shown import masked_run
from segue.web.kept import shared_of_run
from segue.web.operations import Call
from segue.web.pages.frame import Page, View, page
from segue.web.pages.run_head import groups_of, run_named
from segue.web.pages.step import with_names

MOST_ROWS = 100
SLOWER = 1.5
"""A group differs if its longest step took so many times as long, and at least LEAST_SECONDS longer."""

LEAST_SECONDS = 0.1


class Pair(msgspec.Struct, frozen=True):
    """A group of steps in both runs; None where there is none of this name."""

    name: str
    a: StepGroup | None
    b: StepGroup | None
    differs: bool


@page("/compare")
def compare_page(view: View) -> Page:
    """What differs between two runs."""
    given = parse_qs(view.query)
    names = [given.get("a", [""])[-1].strip(), given.get("b", [""])[-1].strip()]
    if not all(names):
        return Page("compare.html", "Compare", {"runs": []}, also={"given": names, "problem": ""})
    try:
        infos = [run_named(view.call.segue, name)[1] for name in names]
    except SegueError as error:
        return Page("compare.html", "Compare", {"runs": []}, status=404, also={"given": names, "problem": str(error)})
    groups = [shared_of_run(view, info, "groups", partial(groups_of, view, info)).groups for info in infos]
    pairs = paired(*groups)
    everything = "all" in parse_qs(view.query, keep_blank_values=True)
    shown = pairs if everything else [pair for pair in pairs if pair.differs]
    arguments = _arguments(view.call, *infos)
    data = {
        "runs": [masked_run(view.call, info) for info in infos], "steps": shown[:MOST_ROWS], "arguments": arguments,
    }  # fmt: skip
    also = {"given": names, "problem": "", "everything": everything, "same": len(pairs) - sum(p.differs for p in pairs),
            "more": len(shown) > MOST_ROWS}  # fmt: skip
    return Page("compare.html", f"Compare {infos[0].workflow}", data, also=also)


def paired(a: tuple[StepGroup, ...], b: tuple[StepGroup, ...]) -> list[Pair]:
    """The groups of two runs by their names, in the order of the first; those only in the second come last."""
    left: dict[str, list[StepGroup]] = {}
    for group in b:
        left.setdefault(group.name, []).append(group)
    found = []
    for one in a:
        others = left.get(one.name)
        other = others.pop(0) if others else None
        found.append(Pair(one.name, one, other, _differ(one, other)))
    rest = sorted((group for groups in left.values() for group in groups), key=lambda group: group.first)
    return found + [Pair(group.name, None, group, True) for group in rest]


def _differ(a: StepGroup, b: StepGroup | None) -> bool:
    if b is None or a.counts != b.counts:
        return True
    one, other = a.longest_seconds or 0.0, b.longest_seconds or 0.0
    return max(one, other) > SLOWER * min(one, other) and abs(one - other) > LEAST_SECONDS


def _arguments(call: Call, a: RunInfo, b: RunInfo) -> list[tuple[str, Any, Any, bool]]:
    """The arguments of both runs by name, and whether they differ; a secret is not compared."""
    shown = [masked_run(call, info) for info in (a, b)]
    one, other = (
        dict(with_names(call, info.workflow, info.arguments)) if info.arguments is not None else {} for info in shown
    )
    return [(name, one.get(name), other.get(name), one.get(name) != other.get(name)) for name in {**one, **other}]
