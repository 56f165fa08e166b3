"""A run: why it is as it is, what may be done about it, and its steps."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from segue.client import Run
from segue.client.views import Reason, RunInfo
from segue.errors import StepNotFoundError
from segue.model import RunStatus, StepStatus
from segue.web.kept import shared_of_run
from segue.web.pages.frame import Page, Redirect, View
from segue.web.pages.run_head import head_of, page_of_run, topic_of
from segue.web.pages.step_groups import counts_of, rows_of
from segue.web.requests import number_of, number_or_name

MOST_FAILED = 10
MOST_RUNNING = 20
MOST_REASONS = 5
MEMBERS = 100


@page_of_run()
def run_page(view: View, run: Run[Any], info: RunInfo) -> Page | Redirect:
    """The steps of a run, in groups."""
    given = parse_qs(view.query)
    wanted = _last(given, "find").strip()
    problem = ""
    if wanted:
        try:
            return Redirect(f"/runs/{run.id}/steps/{run.step(number_or_name(wanted)).info().step}")
        except StepNotFoundError:
            problem = f"This run has no step {wanted[:200]!r}. Write its whole name, or its number."
    groups = shared_of_run(view, info, "groups", run.groups)
    counts = counts_of(groups)
    head = head_of(view, info, counts)
    status = _status(_last(given, "status"))
    rows, more = rows_of(
        run, groups, opened=_numbers(given.get("open", [])), start=number_of(_last(given, "from")) or 0
    )
    steps = run.steps(status=status, after=_after(given), limit=MEMBERS) if status else []
    failed = run.steps(status="failed", limit=MOST_FAILED) if counts.get(StepStatus.FAILED) and not status else []
    running = run.steps(status="running", limit=MOST_RUNNING) if counts.get(StepStatus.RUNNING) and not status else []
    reasons = reasons_of(run, info, has_failed=bool(failed))
    data = head.data() | {"groups": rows, "steps": steps, "failed": failed, "running": running, "reasons": reasons}
    also = {
        "head": head, "status_filter": status, "problem": problem, "more": more, "is_cut": groups.is_cut,
        "by_number": {step.step: step for step in [*failed, *running]},
        "opened": sorted({row.first for row in rows if row.is_open}),
        "after": steps[-1].step if len(steps) == MEMBERS else None,
    }  # fmt: skip
    return Page("run.html", head.title, data, live=topic_of(info), also=also)


@page_of_run("/groups/{first}")
def group_page(view: View, run: Run[Any], info: RunInfo) -> Page:
    """The steps of one group, page by page."""
    given = parse_qs(view.query)
    first = number_of(view.path["first"])
    if first is None:
        raise StepNotFoundError(f"There is no step with the number {view.path['first'][:50]}.")
    head = head_of(view, info, run.counts())
    status = _status(_last(given, "status"))
    steps = run.members(first, status=status, after=_after(given), limit=MEMBERS)
    name = run.step(first).info().name
    data = head.data() | {"steps": steps, "group": name}
    also = {
        "head": head, "status_filter": status, "first": first,
        "after": steps[-1].step if len(steps) == MEMBERS else None, "is_later": "after" in given,
    }  # fmt: skip
    return Page("run_group.html", f"{name} · {head.title}", data, live=topic_of(info), also=also)


def reasons_of(run: Run[Any], info: RunInfo, *, has_failed: bool) -> list[Reason]:
    """Why a run is not over, or did not succeed; failed steps say that themselves."""
    if info.status is RunStatus.SUCCEEDED or (info.status.is_final and has_failed):
        return []
    return run.explain()[:MOST_REASONS]


def _last(given: dict[str, list[str]], name: str) -> str:
    return given.get(name, [""])[-1]


def _numbers(texts: list[str]) -> list[int]:
    return [number for text in texts[:20] if (number := number_of(text)) is not None]


def _after(given: dict[str, list[str]]) -> int:
    number = number_of(_last(given, "after"))
    return -1 if number is None else number


def _status(word: str) -> str | None:
    return word if word in tuple(StepStatus) else None
