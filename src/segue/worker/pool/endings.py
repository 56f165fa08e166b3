"""The outcomes that a pool writes itself, because the task did not live to say how it ended."""

from __future__ import annotations

import signal

from segue.model import ErrorInfo, Job, Outcome, Verdict

PROCESS_DIED = "ProcessDiedError"
TIMED_OUT = "TimeoutError"

_CAUSES = {
    signal.SIGKILL: "killed from outside; often the kernel's out-of-memory killer, see `dmesg`",
    signal.SIGSEGV: "a crash in native code; often a bug in a C extension or in ctypes",
    signal.SIGBUS: "a crash in native code; often a memory-mapped file that became shorter",
    signal.SIGABRT: "aborted by native code; the output may say why",
    signal.SIGTERM: "asked to end from outside",
}


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


def zygote_lost(job: Job) -> Outcome:
    """The process that supervises the children was killed, and the children with it."""
    return _failed(job, PROCESS_DIED, "the process was killed because the pool's zygote died")


def overridden(outcome: Outcome, ending: Outcome) -> Outcome:
    """What is reported when an outcome comes while its attempt is being ended as `ending`.

    What the task completed counts. A failure is most likely an effect of the SIGTERM, or of `Cancelled`.
    """
    if outcome.verdict != Verdict.FAILED:
        return outcome
    ending.output, ending.seconds = outcome.output, outcome.seconds
    return ending


def _failed(job: Job, type_name: str, message: str) -> Outcome:
    return Outcome(job.run_id, job.step, job.attempt, Verdict.FAILED, error=ErrorInfo(type_name, message))
