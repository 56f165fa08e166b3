"""What all pages of a run begin with: the run itself, what may be done to it, and the tabs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import msgspec

from segue.client import Run
from segue.client.views import RunInfo
from segue.model import FINAL_STEP_STATUSES, RunStatus, StepStatus
from segue.web.api.shown import masked_run
from segue.web.outward import Link
from segue.web.pages.frame import Answer, Redirect, View, page
from segue.web.paths import filled_path
from segue.web.roles import Role
from segue.web.what_may import Verb, what_may_run

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
    run = view.call.segue.get(view.path["run_id"])
    return run, run.info()


def topic_of(info: RunInfo) -> str | None:
    """The topic of the changes of a run; one that has ended does not change."""
    return None if info.status.is_final else f"run:{info.id}"


def head_of(view: View, info: RunInfo, counts: Mapping[StepStatus, int]) -> Head:
    """The head, from what was read."""
    done = sum(count for status, count in counts.items() if status in FINAL_STEP_STATUSES)
    total = sum(counts.values())
    rate = left = None
    if info.status is RunStatus.RUNNING and info.started_at is not None and LEAST_DONE <= done < total:
        elapsed = (view.now - info.started_at).total_seconds()
        if elapsed > 1:
            rate = done / elapsed
            left = (total - done) / rate
    has_failed = bool(counts.get(StepStatus.FAILED) or counts.get(StepStatus.CANCELLED))
    tabs = [(f"/runs/{info.id}{path}", word, key) for path, word, key in TABS]
    return Head(
        masked_run(view.call, info), {status.value: count for status, count in counts.items()}, done, total, rate, left,
        what_may_run(view.call, info, has_failed=has_failed), tabs,
        view.call.settings.outward.links(info, now=view.now),
    )  # fmt: skip
