"""A step: why it is as it is, its attempts with tracebacks and output, its values, and what may be done to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from segue.client import Run
from segue.client.masked_views import without_secrets
from segue.client.views import AttemptInfo, RunInfo, StepInfo
from segue.engine.views.checkpoints import list_checkpoints
from segue.engine.views.explain import explain_step
from segue.engine.views.failures import alike_of_step
from segue.engine.views.look import list_attempts
from segue.engine.views.neighbours import neighbours_of
from segue.errors import SegueError, StepNotFoundError
from segue.model import short_id
from segue.printable import printable
from segue.web.api.shown import masked_step
from segue.web.live_output import output_now
from segue.web.operations import Call
from segue.web.outward import Link
from segue.web.pages.frame import Download, Page, Redirect, View, page
from segue.web.pages.run_head import page_of_run, shown_run
from segue.web.requests import number_of, number_or_name
from segue.web.tracebacks import Shown, shortened, shown_traceback
from segue.web.troubles import workers_of
from segue.web.what_may import what_may_step

MOST_ATTEMPTS = 20
SHOWN_OF_NEWEST, SHOWN_OF_OLDER = 12_000, 1500
"""Characters of the traceback, and of the output, of an attempt; its output can be downloaded whole."""

_COLOURS = re.compile(r"\x1b\[[0-9;]{0,30}m")
PLACES = (
    ("queue", "queue"), ("priority", "priority"), ("rule", "rule"), ("executor", "executor"), ("handle", "job there"),
    ("worker", "worker"), ("hook", "hook"), ("event", "message"),
)  # fmt: skip


class ShownAttempt(msgspec.Struct, frozen=True):
    """An attempt as it is shown."""

    info: AttemptInfo
    traceback: Shown | None
    output: str
    links: list[Link]


@page_of_run("/steps/{step:name}")
def step_page(view: View, run: Run[Any], info: RunInfo) -> Page | Redirect:
    """One step."""
    name = view.path["step"]
    step = run.step(number_or_name(name)).info()
    if number_of(name) is None:
        return Redirect(f"/runs/{run.id}/steps/{step.step}")
    return _page(view, run, info, step)


@page("/runs/{run_id}/steps/{step:name}/attempts/{attempt}/output")
def attempt_output(view: View) -> Download:
    """The output of an attempt as plain text."""
    run = view.call.segue.get(view.path["run_id"])
    step = run.step(view.path["step"]).info()
    for each in run.attempts(step=step.step):
        if str(each.attempt) == view.path["attempt"]:
            text = without_secrets(each).output or ""
            return Download(text, f"output-{short_id(run.id)}-{step.step}-{each.attempt}.txt")
    raise StepNotFoundError(f"No attempt {view.path['attempt'][:20]} at {step.name} has been recorded.")


def _page(view: View, run: Run[Any], info: RunInfo, step: StepInfo) -> Page:
    call = view.call
    shown = masked_step(call, step)
    workers = [] if step.status.is_final else workers_of(call, info.namespace, view.now)
    with call.segue.engine.reading() as tx:
        recorded = list_attempts(tx, run.id, step=step.step)
        checkpoints = list_checkpoints(tx, run.id, step.step) if step.attempt else []
        beside = neighbours_of(tx, run.id, step, steps=info.steps)
        has_failed = any(each.error is not None for each in recorded)
        alike = alike_of_step(tx, run.id, step.step) if has_failed else None
        reasons = [] if step.status.is_final else explain_step(tx, info, step, view.now, workers=workers)
    attempts = sorted((without_secrets(each) for each in recorded), key=lambda each: -each.attempt)
    follows = "follow" in parse_qs(view.query, keep_blank_values=True) and not step.status.is_final
    output, problem = None, ""
    if follows:
        try:
            output = output_now(call.segue, run, step)
        except SegueError as error:  # a platform does not answer
            problem = str(error)
    data = {
        "run": shown_run(view, info), "step": shown, "attempts": attempts,
        "parents": beside.parents, "children": beside.children, "reasons": [without_secrets(each) for each in reasons],
        "checkpoints": [without_secrets(each) for each in checkpoints], "output": output, "alike": alike,
    }  # fmt: skip
    outward = call.settings.outward
    shown_attempts = [
        _shown(each, outward.links(info, step, each, now=view.now), is_newest=not place)
        for place, each in enumerate(attempts[:MOST_ATTEMPTS])
    ]
    also = {
        "verbs": what_may_step(call, info, step),
        "shown_attempts": shown_attempts, "links": outward.links(info, step, now=view.now),
        "more_attempts": len(attempts) > MOST_ATTEMPTS, "named": named_arguments(call, shown), "is_cut": beside.is_cut,
        "follows": follows, "output_problem": problem,
        "places": [(word, getattr(step, field)) for field, word in PLACES],
        "output_text": "" if output is None else plain_text(output.text),
        "may_follow": step.attempt > 0 and not step.status.is_final,
    }  # fmt: skip
    topic = None if step.status.is_final else f"{'output' if follows else 'step'}:{run.id}:{step.step}"
    return Page("step.html", f"{step.name} {step.status} · {info.workflow}", data, live=topic, also=also)


def plain_text(text: str) -> str:
    """What a program printed, without the colours of terminals; other control characters are written out."""
    return printable(_COLOURS.sub("", text))


def named_arguments(call: Call, step: StepInfo) -> list[tuple[str, Any]] | None:
    """The arguments of a step with the names of its parameters, as far as they are known; None if it has none yet."""
    if step.arguments is None:
        return None
    if len(step.arguments) != 2:  # the beginning of a text: too long to show whole
        return [("arguments", step.arguments)]
    return with_names(call, step.task or "", step.arguments)


def with_names(call: Call, work: str, arguments: list[Any]) -> list[tuple[str, Any]]:
    """[args, kwargs] as pairs."""
    args, kwargs = arguments
    names = list(call.masker.parameters(work)) if args else []
    named = [(names[index] if index < len(names) else str(index), value) for index, value in enumerate(args)]
    return [*named, *(kwargs.items() if isinstance(kwargs, Mapping) else ())]


def _shown(attempt: AttemptInfo, links: list[Link], *, is_newest: bool) -> ShownAttempt:
    most = SHOWN_OF_NEWEST if is_newest else SHOWN_OF_OLDER
    text = attempt.error.traceback if attempt.error is not None else ""
    return ShownAttempt(
        attempt, shown_traceback(shortened(plain_text(text), most)) if text else None,
        shortened(plain_text(attempt.output or ""), most), links,
    )  # fmt: skip
