"""A run: why it is as it is, what may be done about it, and its steps."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from segue.client import Run
from segue.client.masked_views import without_secrets
from segue.client.views import Reason, RunInfo, StepGroups, StepInfo
from segue.engine.views.active import ActiveSteps, active_steps
from segue.engine.views.explain import explain_run
from segue.engine.views.groups import named_members
from segue.errors import StepNotFoundError
from segue.model import RunStatus, StepStatus
from segue.store.protocol import Transaction
from segue.web.kept import soon_of_run
from segue.web.pages.frame import Page, Redirect, View
from segue.web.pages.run_head import counts_of, groups_of, head_of, page_of_run, soon_counted, topic_of
from segue.web.pages.step_groups import rows_of
from segue.web.requests import number_of, number_or_name
from segue.web.troubles import workers_of

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
    status = _status(_last(given, "status"))
    known = soon_of_run(view, info, "groups", lambda: groups_of(view, info))
    groups = known or StepGroups(())
    head = head_of(view, info, None if known is None else counts_of(groups))
    steps = []
    if status:
        after = max(_after(given), groups.first_in.get(StepStatus(status), 0) - 1)
        steps = [without_secrets(each) for each in run.steps(status=status, after=after, limit=MEMBERS)]
    failed, running, reasons = ([], [], []) if known is None or status else _how_it_goes(view, info, groups)
    with view.call.segue.engine.reading() as tx:
        begin = number_of(_last(given, "from")) or 0
        rows, more = rows_of(tx, run.id, groups, opened=_numbers(given.get("open", [])), start=begin)
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
    head = head_of(view, info, soon_counted(view, run, info))
    status = _status(_last(given, "status"))
    with view.call.segue.engine.reading() as tx:
        name, members = named_members(tx, run.id, first, status=status, after=_after(given), limit=MEMBERS)
    steps = [without_secrets(each) for each in members]
    data = head.data() | {"steps": steps, "group": name}
    also = {
        "head": head, "status_filter": status, "first": first,
        "after": steps[-1].step if len(steps) == MEMBERS else None, "is_later": "after" in given,
    }  # fmt: skip
    return Page("run_group.html", f"{name} · {head.title}", data, live=topic_of(info), also=also)


def _how_it_goes(
    view: View, info: RunInfo, groups: StepGroups
) -> tuple[list[StepInfo], list[StepInfo], list[Reason]]:  # fmt: skip
    """Steps that failed, steps that run, and why the run is not over, or did not succeed."""
    workers = [] if info.status.is_final else workers_of(view.call, info.namespace, view.now)
    with view.call.segue.engine.reading() as tx:
        active = _active(tx, info, groups)
        says_itself = info.status is RunStatus.SUCCEEDED or (info.status.is_final and active.failed)
        reasons = [] if says_itself else explain_run(tx, info, view.now, workers=workers, active=active)
    return (
        [without_secrets(each) for each in active.failed],
        [without_secrets(each) for each in active.running[:MOST_RUNNING]],
        [without_secrets(each) for each in reasons[:MOST_REASONS]],
    )


def _active(tx: Transaction, info: RunInfo, groups: StepGroups) -> ActiveSteps:
    """The steps that run, are ready or failed, from where they begin in the groups."""
    if info.status.is_final and StepStatus.FAILED not in groups.first_in:
        return ActiveSteps([], [], [], [], {})
    found = active_steps(tx, info.id, first=groups.first_in, failed=MOST_FAILED)
    if info.status.is_final or found.running or found.sent or found.ready:
        return found
    return active_steps(tx, info.id, failed=MOST_FAILED)  # the groups were read a while ago


def _last(given: dict[str, list[str]], name: str) -> str:
    return given.get(name, [""])[-1]


def _numbers(texts: list[str]) -> list[int]:
    return [number for text in texts[:20] if (number := number_of(text)) is not None]


def _after(given: dict[str, list[str]]) -> int:
    number = number_of(_last(given, "after"))
    return -1 if number is None else number


def _status(word: str) -> str | None:
    return word if word in tuple(StepStatus) else None
