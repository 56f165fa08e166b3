"""The outcome that is reported of an attempt: from its task's value or exception, or from how its process ended.

Pure, except for the user's code that runs when a value or an exception is examined; exceptions of that code never get
out. A process of another library makes its outcomes here, too, without a pool::

    task = declared.tasks.get(name)
    try:
        outcome = returned(attempt, call(), task_name=name, task=task)
    except BaseException as exc:
        outcome = raised(attempt, exc, task=task)
"""

from __future__ import annotations

import os
import signal
from types import TracebackType
from typing import Any

import msgspec

from segue.authoring import declared, values
from segue.authoring.planning import is_plan, to_plan
from segue.authoring.task import Task, is_retryable
from segue.errors import DefinitionError, ResultTooLargeError, Retry, Skip, seconds_after
from segue.given import attribute, described, is_a
from segue.model import WORKER_LOST, Attempt, ErrorInfo, Job, Outcome, Verdict
from segue.payloads.keeping import Payloads
from segue.payloads.moving import moved
from segue.plan import codec
from segue.plan.graph import Plan

RESULT_LIMIT_BYTES = 16 * 2**20
PROCESS_DIED = "ProcessDiedError"
NOT_SENT = "ArgumentsLostError"
TIMED_OUT = "TimeoutError"

_OWN_FOLDERS = tuple(os.path.dirname(os.path.abspath(path)) + os.sep for path in (__file__, declared.__file__) if path)

_CAUSES = {
    signal.SIGKILL: "killed from outside; often the kernel's out-of-memory killer, see `dmesg`",
    signal.SIGSEGV: "a crash in native code; often a bug in a C extension or in ctypes",
    signal.SIGBUS: "a crash in native code; often a memory-mapped file that became shorter",
    signal.SIGABRT: "aborted by native code; the output may say why",
    signal.SIGTERM: "asked to end from outside",
}


def returned(
    attempt: Attempt,
    value: Any,
    *,
    task_name: str,
    task: Task[..., Any] | None = None,
    limit_bytes: int = RESULT_LIMIT_BYTES,
    payloads: Payloads | None = None,
) -> Outcome:  # fmt: skip
    """The outcome of a task that returned: succeeded, or expanded if it returned a plan.

    Failed if the value cannot be stored: it is not JSON, would not come back equal, or is longer than `limit_bytes`. A
    long value goes to the payload store, if there is one. `task` is the task if this process knows it: its annotations
    check the value.
    """
    outcome = written(attempt, value, task_name=task_name, task=task)
    return placed(outcome, task_name=task_name, task=task, limit_bytes=limit_bytes, payloads=payloads)


def written(attempt: Attempt, value: Any, *, task_name: str, task: Task[..., Any] | None = None) -> Outcome:
    """The same, before it is decided where the value lies."""
    try:
        expands = is_plan(value)
        text = codec.encode(_expansion(value)) if expands else _written(value, task_name, task)
    except Exception as exc:  # noqa: BLE001 - `__iter__` and the like of the value are the user's code
        return raised(attempt, exc, task=task)
    return Outcome(*attempt, Verdict.EXPANDED if expands else Verdict.SUCCEEDED, result=text)


def is_long(outcome: Outcome, payloads: Payloads | None) -> bool:
    """Whether its value, or some of it, goes to the payload store, so that `placed` takes a while."""
    return payloads is not None and outcome.result is not None and len(outcome.result) > payloads.threshold


def placed(
    outcome: Outcome, *, task_name: str, task: Task[..., Any] | None, limit_bytes: int, payloads: Payloads | None
) -> Outcome:  # fmt: skip
    """The outcome with a reference in place of a long value; failed if the value is too long, or cannot be placed."""
    text = outcome.result
    if text is None or (len(text) <= limit_bytes and not is_long(outcome, payloads)):
        return outcome
    try:
        if payloads is not None and outcome.verdict == Verdict.EXPANDED:
            plan = codec.decode(text)
            smaller = moved(plan, payloads)
            text = text if smaller is plan else codec.encode(smaller)
        elif payloads is not None:
            text = payloads.kept(text, most_inline=limit_bytes)
        if len(text) > limit_bytes:
            raise _too_large(outcome, task_name, len(text), limit_bytes)
    except Exception as exc:  # noqa: BLE001 - what a store of the user raises is charged to the attempt
        return raised((outcome.run_id, outcome.step, outcome.attempt), exc, task=task)
    outcome.result = text
    return outcome


def _too_large(outcome: Outcome, task_name: str, size: int, limit_bytes: int) -> ResultTooLargeError:
    if outcome.verdict == Verdict.EXPANDED:
        return ResultTooLargeError(
            f"The plan that {task_name} returned is {size:,} bytes of JSON, more than the limit of "
            f"{limit_bytes:,}. Give each step more to do, for example with map(..., batch=100)."
        )
    return ResultTooLargeError(
        f"The result of {task_name} is {size:,} bytes of JSON, more than the limit of {limit_bytes:,}; use a payload "
        "store (SEGUE_PAYLOADS), or store it elsewhere and return its location."
    )


def raised(attempt: Attempt, exc: BaseException, *, task: Task[..., Any] | None = None) -> Outcome:
    """The outcome of a task that raised: failed, or skipped for `Skip`.

    `task` is the task if this process knows it: its `retry_on` and `fail_on` decide whether it is tried again.
    """
    error = describe(exc)
    if is_a(exc, Skip):
        return Outcome(*attempt, Verdict.SKIPPED, error=error, retryable=False)
    retry_after = None
    if is_a(exc, Retry):
        try:
            retry_after = seconds_after(attribute(exc, "after"))
        except BaseException as wrong:  # noqa: BLE001 - a subclass, or the task itself, has put an invalid value there
            error = describe(wrong)
    is_worth_a_try = not is_a(exc, ResultTooLargeError) and (task is None or is_retryable(task, exc))
    return Outcome(*attempt, Verdict.FAILED, error=error, retryable=is_worth_a_try, retry_after=retry_after)


def describe(exc: BaseException) -> ErrorInfo:
    """An exception as text: its type, its message, its traceback without Segue's own frames, all bounded."""
    return ErrorInfo(*described(exc, _user_frames))


def cancelled(job: Job) -> Outcome:
    """The attempt was cancelled."""
    return Outcome(job.run_id, job.step, job.attempt, Verdict.CANCELLED, retryable=False)


def released(job: Job) -> Outcome:
    """The attempt was not begun, or was ended by a shutdown."""
    return Outcome(job.run_id, job.step, job.attempt, Verdict.RELEASED)


def timed_out(job: Job) -> Outcome:
    """The attempt ran longer than its policy allows."""
    return _failed(job, TIMED_OUT, f"timed out after {job.timeout:g} s")


def died(job: Job, exit_code: int) -> Outcome:
    """The process ended in the middle of the attempt; a negative exit code is a signal's number."""
    if exit_code < 0:
        number = -exit_code
        try:
            name, cause = signal.Signals(number).name, _CAUSES.get(signal.Signals(number))
        except ValueError:
            name, cause = f"signal {number}", None
        return _failed(job, PROCESS_DIED, f"the process was ended by {name}" + (f" ({cause})" if cause else ""))
    return _failed(
        job,
        PROCESS_DIED,
        f"the process ended with exit code {exit_code} before the task returned "
        "(os._exit, a crash in native code, or closed file descriptors)",
    )


def broke(job: Job, exc: BaseException) -> Outcome:
    """Something other than its task failed in this attempt, which may be tried again."""
    return Outcome(job.run_id, job.step, job.attempt, Verdict.FAILED, error=ErrorInfo(*described(exc)))


def not_sent(job: Job, exc: Exception) -> Outcome:
    """The job could not be sent to a child process."""
    return _failed(
        job,
        NOT_SENT,
        f"the attempt could not be sent to a child process: {exc}; the worker needs a writable TMPDIR with room for "
        "arguments that are longer than 60 kB",
    )


def arguments_lost(run_id: str, step: int, attempt: int, exc: Exception) -> Outcome:
    """The file with its arguments is gone."""
    message = f"its arguments were in a file that cannot be read: {exc}; does something clean the worker's TMPDIR?"
    return Outcome(run_id, step, attempt, Verdict.FAILED, error=ErrorInfo(NOT_SENT, message))


def garbled(job: Job) -> Outcome:
    """The child wrote something unexpected into the pipe for its answers."""
    return _failed(
        job,
        PROCESS_DIED,
        "the process was ended because something wrote into the pipe for its answers, or closed it; a task must not "
        "use file descriptors that it has not opened",
    )


def zygote_lost(job: Job) -> Outcome:
    """The process that supervises the children was killed, and the children with it: not the task's fault."""
    error = ErrorInfo(WORKER_LOST, "its process was killed because the one that supervises it, the zygote, died")
    return Outcome(job.run_id, job.step, job.attempt, Verdict.LOST, error=error)


def overridden(outcome: Outcome, ending: Outcome) -> Outcome:
    """The outcome to report when one arrives while its attempt is being ended as `ending`.

    A task that completed counts as completed. A failure is most likely an effect of the SIGTERM, or of `Cancelled`.
    """
    if outcome.verdict != Verdict.FAILED:
        return outcome
    ending.output, ending.seconds = outcome.output, outcome.seconds
    return ending


def _failed(job: Job, type_name: str, message: str) -> Outcome:
    return Outcome(job.run_id, job.step, job.attempt, Verdict.FAILED, error=ErrorInfo(type_name, message))


def _written(value: Any, task_name: str, task: Task[..., Any] | None) -> str:
    """A result as JSON. Raises SerializationError for a value that would not come back equal."""
    text = values.encode(value, "result")
    if task is not None:
        task.converters.check_result(task_name, value, text)
    return text


def _expansion(value: Any) -> Plan:
    """The plan that a task returned."""
    plan = to_plan(value)
    if plan.fail_fast:
        raise DefinitionError(
            f"{plan.name} has fail_fast=True, which ends a whole run at the first failure, but it was returned by "
            "a task; start it as a run, or give fail_fast to the workflow that the run was started with"
        )
    if plan.terms is not None and (plan.terms.deadline is not None or plan.terms.sla is not None):
        raise DefinitionError(
            f"{plan.name} has a deadline or an SLA, which are about a whole run, but it was returned by a task; "
            "start it as a run, or give them to the workflow that the run was started with"
        )
    return msgspec.structs.replace(plan, terms=None)  # the remaining terms apply to a run, and this is a part of one


def _user_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is not Segue's; the whole traceback if every frame is."""
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OWN_FOLDERS):
        found = found.tb_next
    return found if found is not None else trace


def was_killed(outcome: Outcome) -> bool:
    """Whether the process of the attempt was killed."""
    if outcome.verdict == Verdict.LOST:
        return True
    return outcome.error is not None and outcome.error.type == PROCESS_DIED
