"""Why a step that is pushed to a polled executor does not move: what its platform says, and whether a dispatcher asks.

Such a step waits on the queue `@hpc` of its executor. No process holds it: it goes on outside while no dispatcher is
there, but then its end is not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from segue.engine.platforms import platform_of
from segue.engine.pushing import PushRow, push_of
from segue.engine.views.look import RunInfo, StepInfo, WorkerInfo
from segue.engine.views.reason import Reason
from segue.engine.views.why_sent import alive_of
from segue.plan.namespaces import stored
from segue.plan.pushed import DISPATCHER_POOL, queue_of
from segue.store.protocol import Transaction
from segue.times import since


def is_pushed(step: StepInfo) -> bool:
    """Whether a dispatcher takes this step to its executor."""
    return step.executor is not None and step.queue == queue_of(step.executor)


def why_pushed(
    tx: Transaction, run: RunInfo, step: StepInfo, workers: Sequence[WorkerInfo], now: datetime
) -> list[Reason]:
    """Where the attempt of a sent or running step is. Empty if it was not pushed."""
    found = push_of(tx, (run.id, step.step, step.attempt)) if is_pushed(step) else None
    if found is None:
        return []
    push, state = found
    text = f"attempt {step.attempt} {_where(push, state, step, now)}"
    if step.cancel_requested:
        text += "; it was asked to end"
        text += f", {push.cancels} times so far" if push.cancels > 1 else ""
    text += hint_of(push.reason) if push.phase != "running" else ""
    silence = without_dispatcher(step, workers, now) or why_blind(tx, run, step, now)
    return [Reason(step.status.value, step.name, text), *silence]


def why_blind(tx: Transaction, run: RunInfo, step: StepInfo, now: datetime) -> list[Reason]:
    """A reason if the platform of this step's executor does not answer, or takes nothing, as its dispatchers say."""
    found = platform_of(tx, stored(run.namespace, step.executor or ""))
    if found is None:
        return []
    said = f" ({found.problem})" if found.problem else ""
    if found.blind_since is not None:
        text = f"the platform of {step.executor!r} has not answered for {since(found.blind_since, now)}{said}"
        return [Reason("executor_blind", step.name, f"{text}; until it does, nothing is known, and nothing is lost")]
    if found.busy_since is not None and step.handle is None:
        text = f"{step.executor!r} has taken nothing for {since(found.busy_since, now)}{said}"
        return [Reason("executor_busy", step.name, f"{text}; it is asked again and again")]
    return []


def hint_of(reason: str | None) -> str:
    """What to do about a reason for which a platform does not begin a job, where its words tell."""
    low = (reason or "").lower().replace(" ", "")
    for words, hint in _HINTS:
        if any(word in low for word in words):
            return f"; {hint}"
    return ""


_HINTS = (
    (("imagepull", "errimage", "invalidimage", "cannotpull", "manifestunknown"),
     "its image cannot be fetched: check its name, and the rights to fetch it"),
    (("unschedulable", "insufficient", "badconstraints", "partitionnodelimit", "partitiontimelimit", "reqnodenotavail"),
     "no machine can take it as it is: wait, ask for less (Resources), or check its options"),
    (("quota", "assocmax", "qosmax", "maxjobs", "limitexceeded"),
     "a quota of the platform is used up: it begins when other jobs end"),
)  # fmt: skip


def without_dispatcher(step: StepInfo, workers: Sequence[WorkerInfo], now: datetime) -> list[Reason]:
    """A reason if no dispatcher of this step's executor is alive."""
    alive = [worker for worker in alive_of(workers, now) if worker.pool == DISPATCHER_POOL]
    if any(step.queue in worker.queues for worker in alive):
        return []
    text = f"no dispatcher of {step.executor!r} is alive; start one: segue dispatcher -A <module>"
    return [Reason("no_dispatcher", step.name, text)]


def why_not_pushed(step: StepInfo, now: datetime) -> Reason:
    """That a ready step which nothing holds back is about to be taken."""
    waited = since(step.ready_at, now)
    text = f"has been ready for {waited}; a dispatcher of {step.executor!r} takes it with its next round"
    return Reason("to_be_sent", step.name, f"{text}, or when less of this executor waits outside")


def _where(push: PushRow, state: str, step: StepInfo, now: datetime) -> str:
    said = f": {push.reason}" if push.reason else ""
    if state == "planned":
        if push.tries:
            return f"was not taken by {step.executor!r} yet{said}; it is submitted again, {push.tries} tries so far"
        return f"is to be submitted to {step.executor!r}, for {since(step.sent_at, now)} so far"
    if state == "unsure":
        text = (
            f"may have been submitted to {step.executor!r}, {since(push.tried_at, now)} ago, and no answer came{said}"
        )
        return f"{text}; it is searched for there before it is submitted again"
    job = f"job {push.external_id} of {step.executor!r}"
    if push.gone_at is not None and push.phase == "ended":
        return f"ran as {job}, which has ended; its outcome was not there yet {since(push.gone_at, now)} ago"
    if push.gone_at is not None:
        return f"is {job}, which {step.executor!r} has not known for {since(push.gone_at, now)}; soon it counts as lost"
    if step.status.value == "running":
        where = f" on {push.host}" if push.host else ""
        return f"has run as {job}{where} for {since(step.started_at, now)}{said}"
    return f"waits as {job} for {since(step.sent_at, now)}{said}"
