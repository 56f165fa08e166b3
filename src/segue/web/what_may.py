"""What a person may do to a run or a step now: each verb, whether it is possible, and why it is not.

The buttons of all pages come from here. The engine decides again when a button is pressed, so a page that is a second
old does no harm. A verb for which the person has no role is left out.

Example::

    [verb.word for verb in what_may_run(call, info, has_failed=False) if verb.is_possible]  # ["Pause", "Cancel", ...]
"""

from __future__ import annotations

import msgspec

from segue.client.views import RunInfo, StepInfo
from segue.model import RunStatus, StepStatus
from segue.web.operations import OPERATIONS, Call


class Verb(msgspec.Struct, frozen=True):
    """Something that a person may do."""

    operation: str
    word: str
    path: str  # of the operation, below /act
    why_not: str = ""  # "": it is possible
    kind: str = ""  # "primary" for what helps most now, "danger" for what cannot be taken back
    asks: bool = False  # a page asks again
    said: str = ""  # what is said when it is done
    undo: str | None = None  # the path of the opposite
    page: str = ""  # a page instead of an operation, with a form of its own

    @property
    def is_possible(self) -> bool:
        """Whether it can be done now."""
        return not self.why_not


def what_may_run(call: Call, run: RunInfo, *, has_failed: bool | None) -> list[Verb]:
    """The verbs of a run. `has_failed` says whether one of its steps failed or was cancelled; None: not known yet."""
    path = f"/runs/{run.id}"
    is_over, is_paused = run.status.is_final, run.status is RunStatus.PAUSED
    ending = f"it is being ended as {run.ending}" if run.ending else ""
    not_live = f"it has ended: {run.status}" if is_over else ending
    not_failed = "its steps are being counted" if has_failed is None else "no step has failed"
    retry = Verb(
        "retry_run", "Retry" if is_over else "Retry failed", f"{path}/retry",
        "" if has_failed or run.status in (RunStatus.FAILED, RunStatus.CANCELLED) else not_failed,
        kind="primary", said="The failed steps run again.",
    )  # fmt: skip
    pause = Verb(
        "pause_run", "Pause", f"{path}/pause", not_live or ("it is paused" if is_paused else ""),
        said="The run is paused.", undo=f"{path}/resume",
    )  # fmt: skip
    resume = Verb(
        "resume_run", "Resume", f"{path}/resume", _not_paused(run), kind="primary", said="The run goes on.",
        undo=f"{path}/pause",
    )  # fmt: skip
    cancel = Verb("cancel_run", "Cancel", f"{path}/cancel", not_live, kind="danger", asks=True)
    message = Verb("send_message", "Send message", f"{path}/send", not_live, asks=True)
    forked = Verb("fork_run", "Fork", f"{path}/fork", page=f"{path}/fork")
    again = Verb("start_run", "Start again", "/runs", _is_own(run.workflow), page=f"/start?from={run.id}")
    labels = Verb("annotate_run", "Tags", f"{path}/patch", asks=True)
    return _allowed(call, [resume, retry, pause, cancel, message, forked, again, labels])


def what_may_step(call: Call, run: RunInfo, step: StepInfo) -> list[Verb]:
    """The verbs of a step."""
    path = f"/runs/{run.id}/steps/{step.step}"
    has_succeeded = step.status is StepStatus.SUCCEEDED
    is_active = step.status in (StepStatus.RUNNING, StepStatus.SENT)
    fixed = "it has succeeded; fork the run instead" if has_succeeded else _is_own(step.task or "")
    joins = "it only joins groups; no worker executes it" if step.is_join and step.task is None else ""
    busy = joins or ("it is running" if is_active else "")
    waits = "" if step.status.is_final else f"it has not ended: {step.status}"
    helps = "primary" if step.status in (StepStatus.FAILED, StepStatus.CANCELLED) else ""
    retry = Verb(
        "retry_step", "Retry from here", f"{path}/retry", joins or waits, kind=helps, asks=has_succeeded,
        said=f"{step.name} and the steps below it run again.",
    )  # fmt: skip
    skip = Verb(
        "skip_step", "Skip", f"{path}/skip",
        busy or ("it has succeeded" if has_succeeded else "it is skipped" if step.status is StepStatus.SKIPPED else ""),
        asks=True,
    )  # fmt: skip
    mark = Verb(
        "mark_step", "Mark as succeeded", f"{path}/mark", busy or ("it has succeeded" if has_succeeded else ""),
        asks=True,
    )  # fmt: skip
    edit = Verb(
        "edit_step", "Edit arguments", f"{path}/edit",
        busy or fixed, page=f"{path}/edit",
    )  # fmt: skip
    forked = Verb("fork_run", "Fork from here", f"/runs/{run.id}/fork", joins,
                  page=f"/runs/{run.id}/fork?step={step.step}")  # fmt: skip
    return _allowed(call, [retry, skip, mark, edit, forked])


def _not_paused(run: RunInfo) -> str:
    return "" if run.status is RunStatus.PAUSED else "it is not paused"


def _is_own(work: str) -> str:
    return f"{work} is one of Segue's own tasks" if work.startswith("segue.") else ""


def _allowed(call: Call, verbs: list[Verb]) -> list[Verb]:
    found = [each for each in verbs if each.operation in OPERATIONS and call.may(each.operation)]
    if not call.settings.requires_reason:
        return found
    return [each if each.page else msgspec.structs.replace(each, asks=True) for each in found]
