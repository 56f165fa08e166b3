"""What all pages of a run begin with: the run itself, what may be done to it, and the tabs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any

import msgspec

from segue.client import Run, Segue
from segue.client.views import RunInfo, StepGroups, run_info
from segue.engine.views.groups import groups_of_run
from segue.errors import RunNotFoundError
from segue.model import FINAL_STEP_STATUSES, RunStatus, StepStatus
from segue.plan.namespaces import prefix_of
from segue.web.api.shown import masked_run
from segue.web.kept import seen_of_run, soon_of_run
from segue.web.outward import Link
from segue.web.pages.frame import Answer, Redirect, View, page
from segue.web.paths import filled_path
from segue.web.roles import Role
from segue.web.what_may import Verb, what_may_run

_WHOLE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

OfRun = Callable[[View, Run[Any], RunInfo], Answer]
"""A page of a run."""

LEAST_DONE = 5
"""Steps that have ended before the page says how long the rest will take."""

TABS = (
    ("", "Steps", "steps"), ("/graph", "Graph", "graph"), ("/timeline", "Timeline", "timeline"),
    ("/data", "Data", "data"), ("/activity", "Activity", "activity"),
)  # fmt: skip


class Head(msgspec.Struct, frozen=True):
    """The head of a page of a run."""

    info: RunInfo
    counts: dict[str, int]
    done: int
    total: int
    per_second: float | None
    seconds_left: float | None
    verbs: list[Verb]
    tabs: list[tuple[str, str, str]]
    links: list[Link]
    is_counting: bool = False  # the counts are not known yet

    def data(self) -> dict[str, Any]:
        """What `?format=json` shows of it."""
        return {"run": self.info, "counts": self.counts, "done": self.done, "total": self.total}

    @property
    def title(self) -> str:
        """The beginning of the title of the page."""
        return f"{self.info.workflow} {self.info.status}"


def page_of_run(rest: str = "", role: Role = Role.VIEWER) -> Callable[[OfRun], Callable[[View], Answer]]:
    """Make a function a page of a run, at "/runs/{run_id}" and the rest: `function(view, run, info)`.

    A part of the id of a run leads to the page with the whole id. Example::

        @page_of_run("/data")
        def data_page(view: View, run: Run[Any], info: RunInfo) -> Page: ...
    """

    def registered(function: OfRun) -> Callable[[View], Answer]:
        @page("/runs/{run_id}" + rest, role)
        @wraps(function)
        def opened(view: View) -> Answer:
            run, info = run_of(view)
            if run.id != view.path["run_id"]:
                path = f"/runs/{run.id}" + filled_path(rest, view.path)
                return Redirect(path + (f"?{view.query}" if view.query else ""))
            return function(view, run, info)

        return opened

    return registered


def run_of(view: View) -> tuple[Run[Any], RunInfo]:
    """The run whose id, or a part of it, is in the path. Raises RunNotFoundError."""
    return run_named(view.call.segue, view.path["run_id"])


def run_named(segue: Segue, given: str) -> tuple[Run[Any], RunInfo]:
    """The run of this id, or of which this is a part of the id. Raises RunNotFoundError."""
    if _WHOLE_ID.fullmatch(given):
        with suppress(RunNotFoundError), segue.engine.reading() as tx:
            info = run_info(tx, given)
            if segue.engine.prefix in (None, prefix_of(info.namespace)):
                return Run(segue.engine, info.id), info
    run = segue.get(given)
    return run, run.info()


def topic_of(info: RunInfo) -> str | None:
    """The topic of the changes of a run; one that has ended does not change."""
    return None if info.status.is_final else f"run:{info.id}"


def shown_run(view: View, info: RunInfo) -> RunInfo:
    """The run without its secrets; for a person without its arguments, which only the page of its data shows."""
    return masked_run(view.call, info if view.is_json else msgspec.structs.replace(info, arguments=None))


def soon_counted(view: View, run: Run[Any], info: RunInfo) -> Mapping[StepStatus, int] | None:
    """The number of its steps in each status; None if it has so many that the page comes before they are counted."""
    groups = seen_of_run(view, info, "groups")
    return counts_of(groups) if groups is not None else soon_of_run(view, info, "counts", run.counts)


def groups_of(view: View, info: RunInfo) -> StepGroups:
    """The steps of a run in groups, read now."""
    with view.call.segue.engine.reading() as tx:
        return groups_of_run(tx, info.id)


def counts_of(groups: StepGroups) -> dict[StepStatus, int]:
    """The number of steps in each status."""
    counts: dict[StepStatus, int] = {}
    for group in groups.groups:
        for status, count in group.counts.items():
            counts[status] = counts.get(status, 0) + count
    return counts


def head_of(view: View, info: RunInfo, known: Mapping[StepStatus, int] | None) -> Head:
    """The head, from what was read. Without counts, the page asks for itself again soon."""
    counts = known or {}
    done = sum(count for status, count in counts.items() if status in FINAL_STEP_STATUSES)
    total = info.steps if known is None else sum(counts.values())
    rate = left = None
    if info.status is RunStatus.RUNNING and info.started_at is not None and LEAST_DONE <= done < total:
        elapsed = (view.now - info.started_at).total_seconds()
        if elapsed > 1:
            rate = done / elapsed
            left = (total - done) / rate
    has_failed = None if known is None else bool(counts.get(StepStatus.FAILED) or counts.get(StepStatus.CANCELLED))
    tabs = [(f"/runs/{info.id}{path}", word, key) for path, word, key in TABS]
    return Head(
        shown_run(view, info), {status.value: count for status, count in counts.items()}, done, total, rate, left,
        what_may_run(view.call, info, has_failed=has_failed), tabs,
        view.call.settings.outward.links(info, now=view.now), known is None,
    )  # fmt: skip
