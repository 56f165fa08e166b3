"""How an attempt ended: from what its process wrote, or, if it could not, from what the platform says. Pure."""

from __future__ import annotations

from typing import assert_never

import msgspec

from segue.attempt.outcomes import RESULT_LIMIT_BYTES
from segue.attempt.spool import NOT_MINE, NOT_REPORTED, TAIL_BYTES
from segue.authoring.command import ShellError
from segue.authoring.container import ContainerError, ResultFrom
from segue.dispatcher.protocol import Cause, Collected, Phase, Push, Sighting
from segue.dispatcher.work import Command
from segue.engine.stored import storable
from segue.model import WORKER_LOST, ErrorInfo, Outcome, Verdict
from segue.plan.pushed import OUT_OF_MEMORY

PROCESS_DIED = "ProcessDiedError"
MOST_TOLD = 2 * TAIL_BYTES
"""Characters of an error, which may quote the end of the output. Programs print anything, also what no database has."""


def outcome_of(
    push: Push, sighting: Sighting, collected: Collected, *, was_cancelled: bool, command: Command | None = None
) -> Outcome:
    """The outcome to record. What the process itself wrote counts before anything that the platform says.

    `was_cancelled`: Segue asked the platform to end it. Then a failure, or a loss, is the answer to that. `command`:
    what ran was a command, whose exit code counts.
    """
    outcome = _told(push, sighting, collected, was_cancelled=was_cancelled, command=command)
    return _storable(outcome)


def _told(
    push: Push, sighting: Sighting, collected: Collected, *, was_cancelled: bool, command: Command | None
) -> Outcome:  # fmt: skip
    run_id, step, attempt = push.attempt
    written = collected.outcome
    if written is not None:
        found = msgspec.structs.replace(written, run_id=run_id, step=step, attempt=attempt)
        is_answer = was_cancelled and found.verdict in (Verdict.FAILED, Verdict.LOST, Verdict.RELEASED)
        was_killed = found.error is not None and found.error.type == PROCESS_DIED
        knows_less = was_killed and sighting.cause is Cause.OUT_OF_MEMORY
        if not is_answer and not knows_less:
            return found
    code = sighting.exit_code if sighting.cause in (Cause.EXIT, Cause.SIGNAL) else None
    if command is not None and code is not None and not (was_cancelled and code != 0):
        return _of_command(push, code, collected, command)
    if was_cancelled:
        return Outcome(run_id, step, attempt, Verdict.CANCELLED, retryable=False, output=collected.output)
    verdict, error, retryable = _judged(sighting, is_command=command is not None)
    return Outcome(run_id, step, attempt, verdict, error=error, retryable=retryable, output=collected.output)


def _of_command(push: Push, exit_code: int, collected: Collected, command: Command) -> Outcome:
    """The outcome of a command that ended by itself: by its exit code, and by what it left."""
    run_id, step, attempt = push.attempt
    output = collected.output
    if command.check and exit_code != 0:
        failure = (ContainerError if command.is_container else ShellError)(exit_code, output[-command.tail_bytes :])
        info = ErrorInfo(type(failure).__name__, str(failure))
        return Outcome(run_id, step, attempt, Verdict.FAILED, error=info, output=output)
    try:
        result = _result_of(exit_code, collected, command)
    except ValueError as error:
        info = ErrorInfo("ResultError", str(error))
        return Outcome(run_id, step, attempt, Verdict.FAILED, error=info, output=output)
    return Outcome(run_id, step, attempt, Verdict.SUCCEEDED, result=result, output=output)


def _result_of(exit_code: int, collected: Collected, command: Command) -> str:
    """The result of a command as JSON. Raises ValueError for one that is not there, or is none."""
    match command.result:
        case ResultFrom.NOTHING:
            return "null"
        case ResultFrom.EXIT:
            tail = collected.output.encode()[-command.tail_bytes :].decode("utf-8", "ignore")
            return msgspec.json.encode({"exit_code": exit_code, "output": tail}).decode()
        case ResultFrom.JSON:
            if collected.result is None:
                raise ValueError("the command wrote no result into the file that SEGUE_RESULT names")
            if len(collected.result) > RESULT_LIMIT_BYTES:
                raise ValueError(f"the command wrote more than {RESULT_LIMIT_BYTES:,} bytes as its result")
            text, where = collected.result, "what the command wrote into the file that SEGUE_RESULT names"
        case ResultFrom.LAST_LINE:
            lines = [line for line in collected.output.splitlines() if line.strip()]
            if not lines:
                raise ValueError("the command printed nothing, and its last line was to be its result")
            text, where = lines[-1].encode(), "the last line of the output"
        case unknown:
            assert_never(unknown)
    try:
        return msgspec.json.encode(msgspec.json.decode(text)).decode()
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        shown = text[:200].decode("utf-8", "replace")
        raise ValueError(f"{where} is not JSON ({error}): {shown!r}") from None


_UNREPORTED = {
    NOT_MINE: "another process had begun it, and does not report any more",
    NOT_REPORTED: "its process could not reach the database, and its output may say how it ended",
}


def _judged(sighting: Sighting, *, is_command: bool) -> tuple[Verdict, ErrorInfo, bool]:
    said = f" ({sighting.reason})" if sighting.reason else ""
    code = sighting.exit_code
    if sighting.phase is Phase.GONE:
        return _lost(f"its platform does not know it any more, and it left no result{said}")
    match sighting.cause:
        case Cause.LOST:
            return _lost(f"its machine failed, or it was preempted{said}")
        case Cause.CANCELLED:
            return _lost(f"it was ended at its platform, and not by Segue{said}")
        case Cause.OUT_OF_MEMORY:
            return _failed(OUT_OF_MEMORY, f"it used more memory than its platform gave it{said}; give it more")
        case Cause.TIMEOUT:
            return _failed("TimeoutError", f"its platform ended it, because its time was over{said}")
        case Cause.SIGNAL:
            return _failed(PROCESS_DIED, f"its process was ended by signal {-(code or 0)}{said}")
        case Cause.CONFIG:
            return _failed("PushRefusedError", f"its platform cannot run it{said}", retryable=False)
        case Cause.EXIT | None if code in (NOT_MINE, NOT_REPORTED) and not is_command:
            return _lost(_UNREPORTED[code] + said)
        case Cause.EXIT | None:
            how = "it ended" if code is None else f"it ended with exit code {code}"
            return _failed(PROCESS_DIED, f"{how} before its task returned, and left no result{said}")
        case unknown:
            assert_never(unknown)


def _lost(message: str) -> tuple[Verdict, ErrorInfo, bool]:
    return Verdict.LOST, ErrorInfo(WORKER_LOST, message), True


def _failed(kind: str, message: str, *, retryable: bool = True) -> tuple[Verdict, ErrorInfo, bool]:
    return Verdict.FAILED, ErrorInfo(kind, message), retryable


def refused(push: Push, why: str) -> Outcome:
    """The outcome of a push that the platform will never take."""
    error = ErrorInfo("PushRefusedError", f"its executor refused it: {why}")
    return _storable(Outcome(*push.attempt, Verdict.FAILED, error=error, retryable=False))


def _storable(outcome: Outcome) -> Outcome:
    output = storable(outcome.output[-TAIL_BYTES:], limit=TAIL_BYTES)
    error = outcome.error
    if error is not None:
        error = msgspec.structs.replace(error, message=storable(error.message, limit=MOST_TOLD))
    return msgspec.structs.replace(outcome, output=output, error=error)
