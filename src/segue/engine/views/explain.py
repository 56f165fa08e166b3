"""Why a run or step is not moving: one line for each reason, the most important first.

Promise 7: every run ends, or this says what it waits for. A run that is not final always gets at least one reason.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from segue.engine.debounce import waiting_debounce
from segue.engine.holding import what_holds
from segue.engine.rows import policy_or_none
from segue.engine.stored import moment_of, object_of
from segue.engine.views.active import NONE, STEPS_LOOKED_AT, ActiveSteps, active_steps
from segue.engine.views.definitions import LastDefinitions, undefined_workflows
from segue.engine.views.look import RunInfo, StepInfo, WorkerInfo, count_steps, list_steps, list_workers, run_info
from segue.engine.views.reason import Reason
from segue.engine.views.why_limited import Kind, LimitsView, Why
from segue.engine.views.why_pushed import is_pushed, why_not_pushed, why_pushed, without_dispatcher
from segue.engine.views.why_sent import alive_of, is_of_node, why_sent, why_unsent, without_node
from segue.errors import SerializationError
from segue.model import ENGINE_TASKS, REFUSABLE_TASKS, SLEEP, Gate, RunStatus, StepStatus, short_id
from segue.plan.namespaces import prefix_of
from segue.printable import first_line
from segue.store.protocol import Transaction
from segue.times import clock_time, duration, since

PARENTS_NAMED = 5
_ALIKE_IN_WORDS = (
    "no_worker", "no_worker_on_queue", "unknown_task", "waiting_for_event", "limited", "rate_limited",
    "waiting_for_share", "waiting_for_admission",
)  # fmt: skip
_EACH_ITS_OWN = ("running", "lost", "delayed", "sleeping", "retrying", "blocked")


def explain(tx: Transaction, run_id: str, now: datetime, *, step: str | int | None = None) -> list[Reason]:
    """The reasons why a run, or its step of this name or number, is in its current state."""
    run = run_info(tx, run_id)
    if step is None:
        return explain_run(tx, run, now)
    steps = _steps_called(tx, run_id, step)
    if not steps:
        return [Reason("unknown_step", str(step), f"run {run.id} has no such step")]
    return explain_step(tx, run, steps[0], now)


def explain_step(
    tx: Transaction, run: RunInfo, step: StepInfo, now: datetime, *, workers: Sequence[WorkerInfo] | None = None
) -> list[Reason]:  # fmt: skip
    """The same for a step that was read, with the `workers` of its namespace if these are known."""
    return _Steps(tx, run, now, LimitsView(tx, now), workers).explain(step)


def explain_run(
    tx: Transaction, run: RunInfo, now: datetime, *, workers: Sequence[WorkerInfo] | None = None,
    active: ActiveSteps | None = None,
) -> list[Reason]:  # fmt: skip
    """The same for a run that was read, with its `active` steps and the `workers` of its namespace if known."""
    if run.status.is_final:
        return [_final(run, now)]
    active = active or active_steps(tx, run.id)
    limits = LimitsView(tx, now, {(run.id, step): lane for step, lane in active.lanes.items()})
    steps = _Steps(tx, run, now, limits, workers)
    sessions, is_unfinished = what_holds(tx, run.id)
    reasons = [_held(who) for who in sessions]
    if not run.steps:
        reasons += _debounced(tx, run, now)
    if run.status is RunStatus.PAUSED:
        reasons.append(_paused(tx, run, active, now))
    waits_for_limit = run.limit_name is not None and run.admitted_at is None
    unadmitted = limits.of_run(run.id) if waits_for_limit and run.steps and not run.ending else None
    if unadmitted is not None:
        reasons.append(Reason("waiting_for_admission", None, unadmitted))
    if run.ending:
        reasons.append(Reason("ending", None, f"the run is ending as {run.ending}; it waits for running steps"))
    for found in (*active.running, *active.sent, *active.ready):
        reasons += steps.explain(found)
    if not reasons:
        for found in list_steps(tx, run.id, status=StepStatus.BLOCKED, limit=STEPS_LOOKED_AT):
            reasons += steps.explain(found)
    if is_unfinished:
        text = "its remaining changes are being written in parts; workers and the leader continue this by themselves"
        reasons.insert(0, Reason("unfinished", None, text))
    return _merged(reasons) or [
        Reason("stuck", None, "nothing can move it: please run `segue db check` and report this")
    ]


def _steps_called(tx: Transaction, run_id: str, step: str | int) -> list[StepInfo]:
    if isinstance(step, str):
        return list_steps(tx, run_id, name=step, limit=1)
    return [found for found in list_steps(tx, run_id, after=step - 1, limit=1) if found.step == step]


def _final(run: RunInfo, now: datetime) -> Reason:
    """How it ended, and for a failure the commands that help."""
    was = "was " if run.status is RunStatus.CANCELLED else ""
    text = f"the run {was}{run.status} at {clock_time(run.finished_at, now)}"
    if run.error:
        text += f": {run.error.step} failed with {run.error.type}: {run.error.message}"
    return Reason("final", None, text)


def _held(who: str) -> Reason:
    text = f"is held by {who}, and cannot continue before that session ends its transaction; it may be left over from a"
    return Reason("held", None, f"{text} machine that is gone: SELECT pg_terminate_backend(<session>) ends it")


def _debounced(tx: Transaction, run: RunInfo, now: datetime) -> list[Reason]:
    """Why a run has no steps yet."""
    found = waiting_debounce(tx, run.id, now)
    if found is None:
        return []
    key, keep, due_at, count = found
    if key == run.id:
        return [_deferred(tx, run, due_at, now)]
    until = clock_time(due_at, now)
    starts = "1 start" if count == 1 else f"{count} starts"
    text = f"collects starts under the key {key!r} until {until} ({starts} so far, keeps {keep})"
    return [Reason("debounced", None, text)]


def _deferred(tx: Transaction, run: RunInfo, due_at: datetime, now: datetime) -> Reason:
    """Why a run that was started by name has no steps yet."""
    if due_at > now:
        return Reason("deferred", None, f"begins at {clock_time(due_at, now)}")
    workers = list_workers(tx, prefix=prefix_of(run.namespace))
    is_known = any(run.workflow in worker.tasks for worker in workers)
    if not is_known and undefined_workflows(tx, now, [run.workflow], run.namespace):
        return Reason("deferred", None, f"no live worker has the code of {run.workflow}; start one with -A")
    return Reason("deferred", None, f"waits for a process with the code of {run.workflow}, which makes its steps")


def _paused(tx: Transaction, run: RunInfo, active: ActiveSteps, now: datetime) -> Reason:
    """Since when, by whom, and which steps still run."""
    text = "the run is paused"
    for at, detail in tx.all("last_event", run_id=run.id, kind="run.paused"):
        said = object_of(detail)
        text = f"the run was paused at {clock_time(moment_of(tx, at), now)}"
        text += f" by {said['actor']}" if "actor" in said else ""
        text += f" ({said['reason']})" if "reason" in said else ""
    running, sent = len(active.running), len(active.sent)
    if STEPS_LOOKED_AT in (running, sent):  # there may be more
        counts = count_steps(tx, run.id)
        running, sent = counts.get(StepStatus.RUNNING, 0), counts.get(StepStatus.SENT, 0)
    if running:
        text += f"; {running} step{'s' if running > 1 else ''} of it still run{'' if running > 1 else 's'}"
    if sent:
        text += f"; {sent} step{'s' if sent > 1 else ''} of it {'were' if sent > 1 else 'was'} sent to executors"
    return Reason("paused", None, f"{text}; resume it with: segue resume {short_id(run.id)}")


class _Steps:
    """Explains steps of one run. What it reads for one of them serves the next ones as well."""

    def __init__(
        self, tx: Transaction, run: RunInfo, now: datetime, limits: LimitsView, workers: Sequence[WorkerInfo] | None
    ) -> None:
        self._tx, self._run, self._now, self._limits = tx, run, now, limits
        self._workers = list_workers(tx, prefix=prefix_of(run.namespace)) if workers is None else workers
        self._definitions = LastDefinitions(tx, run.namespace)
        self._ends: dict[int, datetime | None] = {}  # of the waits of the steps from ... to ...
        self._known_from, self._known_to = 0, -1

    def explain(self, step: StepInfo) -> list[Reason]:
        match step.status:
            case StepStatus.RUNNING:
                return why_pushed(self._tx, self._run, step, self._workers, self._now) or [_running(step, self._now)]
            case StepStatus.SENT:
                pushed = why_pushed(self._tx, self._run, step, self._workers, self._now)
                return pushed or why_sent(self._run.status, step, self._workers, self._now)
            case StepStatus.READY if step.gate == Gate.EVENT or (step.is_suspended and step.event is not None):
                begun, until = self._times_of_wait(step)
                return [_waiting_for_event(self._run, step, begun, until, self._now)]
            case StepStatus.READY:
                return _ready(self._run, step, self._workers, self._limits, self._definitions, self._now)
            case StepStatus.BLOCKED:
                return [_blocked(self._tx, self._run, step)]
            case StepStatus.SUCCEEDED | StepStatus.FAILED | StepStatus.SKIPPED | StepStatus.CANCELLED:
                text = f"is {step.status}"
                if step.error:
                    text += f": {step.error.type}: {step.error.message}"
                return [Reason(step.status.value, step.name, text)]
            case unknown:
                assert_never(unknown)

    def _times_of_wait(self, step: StepInfo) -> tuple[datetime | None, datetime | None]:
        """When a wait began, and when it gives up."""
        of_step = {"run_id": self._run.id, "step": step.step}
        if step.gate == Gate.EVENT:
            if not self._known_from <= step.step <= self._known_to:
                rows = self._tx.all("ends_of_waits", **of_step, limit=STEPS_LOOKED_AT)
                self._ends = {number: moment_of(self._tx, at) for number, at in rows}
                self._known_from = step.step
                self._known_to = max(self._ends) if len(rows) == STEPS_LOOKED_AT else NONE
            return step.ready_at, self._ends.get(step.step)
        times = self._tx.all("wait_of_task", **of_step)
        return (moment_of(self._tx, times[0][0]), moment_of(self._tx, times[0][1])) if times else (None, None)


def _running(step: StepInfo, now: datetime) -> Reason:
    where = step.worker or step.executor or "an unknown worker"
    text = f"attempt {step.attempt} has run on {where} for {since(step.started_at, now)}"
    if step.progress is not None:
        total = f" of {step.progress.total:g}" if step.progress.total is not None else ""
        text += f", done {step.progress.done:g}{total}"
        if step.progress.eta_seconds is not None:
            text += f", about {duration(step.progress.eta_seconds)} left"
    if step.cancel_requested:
        text += "; it was asked to end"
    if step.executor is not None and step.worker_id is None:
        return Reason("running", step.name, text)  # no lease covers it: its executor is asked
    if step.worker_lease_until is None or step.worker_lease_until < now or step.worker_status in ("lost", "stopped"):
        return Reason(
            "lost", step.name, text + "; that worker no longer renews its lease, and the step will be rescued"
        )
    return Reason("running", step.name, text)


def _ready(
    run: RunInfo, step: StepInfo, workers: Sequence[WorkerInfo], limits: LimitsView, definitions: LastDefinitions,
    now: datetime,
) -> list[Reason]:  # fmt: skip
    if step.gate == Gate.PAUSED:
        command = f"segue resume {short_id(run.id)}"
        return [Reason("paused", step.name, f"is ready, and held until its run is resumed: {command}")]
    if step.gate == Gate.ADMISSION:
        return [Reason("waiting_for_admission", step.name, "is ready, and waits until its run is admitted")]
    if step.gate is not None and step.gate not in set(Gate):
        text = f"is ready, and held by the gate {step.gate!r}, which this version of Segue does not know"
        return [Reason("unreadable", step.name, text)]
    if step.ready_at is None:
        return [Reason("unreadable", step.name, "is ready, but the time since when cannot be read; its row is damaged")]
    reasons = []
    is_ready = "is ready"
    if step.gate == Gate.TIMER and step.ready_at > now:
        is_ready = "will be ready then"
        reasons.append(_delayed(step, step.ready_at, now))
    alive = alive_of(workers, now)
    on_queue = [worker for worker in alive if step.queue in worker.queues]
    if is_of_node(step):
        reasons += without_node(step, workers, now)
    elif is_pushed(step):
        reasons += without_dispatcher(step, workers, now)
    elif not alive:
        reasons.append(
            Reason("no_worker", step.name, f"{is_ready}, but no worker is running; start one: segue worker -A <module>")
        )
    elif not on_queue:
        command = f"segue worker -A <module> --queue {shlex.quote(step.queue)}"
        text = f"{is_ready}, but no worker works on queue {step.queue!r}; start one: {command}"
        reasons.append(Reason("no_worker_on_queue", step.name, text))
    elif not any(step.task in worker.tasks for worker in on_queue):
        reasons.append(_unknown_task(step, is_ready, alive, definitions))
    queue = f"{prefix_of(run.namespace)}{step.queue}"
    if step.gate in (None, Gate.LIMIT):
        try:
            reasons += [_limited(step, why) for why in limits.of_step(run.id, step.step, queue, step.task)]
        except SerializationError as error:
            reasons.append(Reason("unreadable", step.name, f"is ready, and cannot be claimed: {error}"))
    if not reasons and step.executor is not None and is_of_node(step):
        reasons.append(why_unsent(step, workers, now, sent=limits.sent_of_queue(step.executor, queue)))
    elif not reasons and is_pushed(step):
        reasons.append(why_not_pushed(step, now))
    elif not reasons:
        busy = sum(worker.concurrency for worker in on_queue)
        text = (
            f"has been ready for {since(step.ready_at, now)}; it waits for one of {busy} places on queue {step.queue!r}"
        )
        reasons.append(Reason("waiting_for_place", step.name, text))
    return reasons


def _delayed(step: StepInfo, until: datetime, now: datetime) -> Reason:
    """Until when it waits, and for a retry the error of the last try."""
    when = f"{clock_time(until, now)} (in {duration((until - now).total_seconds())})"
    if step.is_suspended or (step.task == SLEEP and not step.failures):
        return Reason("sleeping", step.name, f"sleeps until {when}")
    if not step.failures:
        return Reason("delayed", step.name, f"is delayed until {when}")
    error = f" with {step.error.type}: {first_line(step.error.message)}" if step.error else ""
    tries = policy_or_none(step.policy).retries + 1
    return Reason("retrying", step.name, f"failed {step.failures} of {tries} tries{error}; the next try is at {when}")


def _unknown_task(step: StepInfo, is_ready: str, alive: Sequence[WorkerInfo], definitions: LastDefinitions) -> Reason:
    """No worker on its queue has the task. Says which code has it, as far as is known."""
    task = step.task or ""
    word = next((word for word, name in REFUSABLE_TASKS.items() if name == task), None)
    elsewhere = sorted({queue for worker in alive if task in worker.tasks for queue in worker.queues})
    text = f"{is_ready}, but no worker on queue {step.queue!r} "
    if word is not None:
        text += f"takes the task {task!r}: they run with --without {word} (or SEGUE_WITHOUT); start one that does not"
    elif elsewhere:
        text += (
            f"knows the task {task!r}; a worker on {', '.join(map(repr, elsewhere))} does: start one with "
            f"--queue {shlex.quote(step.queue)}"
        )
    else:
        text += f"knows the task {task!r}; {definitions.remedy(task)}"
    return Reason("unknown_task", step.name, text)


def _limited(step: StepInfo, why: Why) -> Reason:
    match why.kind:
        case Kind.PLACES:
            return Reason("limited", step.name, why.text)
        case Kind.RATE:
            return Reason("rate_limited", step.name, why.text)
        case Kind.SHARE:
            return Reason("waiting_for_share", step.name, why.text)
        case unknown:
            assert_never(unknown)


def _waiting_for_event(
    run: RunInfo, step: StepInfo, begun: datetime | None, until: datetime | None, now: datetime
) -> Reason:  # fmt: skip
    """Since when, until when, and what would end the wait."""
    text = f"has waited for {step.event!r} since {clock_time(begun, now)}"
    if until is not None:
        left = f"in {duration((until - now).total_seconds())}" if until > now else "now"
        text += f", and gives up at {clock_time(until, now)} ({left})"
    command = f"segue send {short_id(run.id)} {shlex.quote(step.event or '')} [VALUE]"
    return Reason("waiting_for_event", step.name, f"{text}; send it with: {command}")


def _blocked(tx: Transaction, run: RunInfo, step: StepInfo) -> Reason:
    rows = tx.all("parents_of", run_id=run.id, step=step.step, limit=PARENTS_NAMED)
    if not rows and step.hook:
        return Reason("blocked", step.name, f"is the {step.hook} hook: it waits for the outcome of all other steps")
    named = ", ".join(f"{name} ({status})" for _, name, status in rows)
    more = f" and {step.waiting_on - len(rows)} more" if step.waiting_on > len(rows) else ""
    rule = "" if step.rule in ("all_succeeded", "all_done", "handler") else f" [{step.rule}]"
    has_returned = step.is_join and step.attempt > 0 and step.task is not None and step.task not in ENGINE_TASKS
    what = "waits for the plan that its task returned: " if has_returned else "waits for "
    return Reason("blocked", step.name, f"{what}{named}{more}{rule}")


def _merged(reasons: list[Reason]) -> list[Reason]:
    """A thousand steps that wait for the same thing are one line."""
    groups: dict[tuple[str, str], list[Reason]] = {}
    for reason in reasons:
        words = reason.text if reason.code in _ALIKE_IN_WORDS else reason.code
        key = (reason.code, str(reason) if reason.code in _EACH_ITS_OWN else words)
        groups.setdefault(key, []).append(reason)
    merged = []
    for same in groups.values():
        first = same[0]
        if len(same) > 1:
            count = f"{len(same)}{'+' if len(same) >= STEPS_LOOKED_AT else ''}"
            first = Reason(first.code, f"{first.step} ({count} such steps)" if first.step else None, first.text)
        merged.append(first)
    return merged
