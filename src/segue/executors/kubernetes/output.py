"""What a pod left behind: the end of its log, and its termination message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segue.authoring.container import ResultFrom
from segue.dispatcher.protocol import Collected, Push
from segue.executors.kubernetes.objects import MAIN, RESULT_ANNOTATION, ApiError, Pod
from segue.model import ErrorInfo, Outcome, Verdict

if TYPE_CHECKING:
    from segue.executors.kubernetes.client import Api

TAIL_BYTES = 16 * 1024
MOST_BYTES = 256 * 1024  # of one answer
LINES = (400, 20, 1)  # fewer if so many are longer than an answer may be: the end is what matters
RESULT_BYTES = 4096  # a longer termination message is cut by the kubelet


def tail_of(api: Api, path: str, pod: Pod) -> str:
    """The end of what the main container printed; '' if it has not begun, or is gone. Raises ApiError and AwayError."""
    data = b""
    for lines in LINES:
        data = _log(api, f"{path}/{pod.metadata.name}/log", lines)
        if len(data) < MOST_BYTES:
            break
    return data[-TAIL_BYTES:].decode("utf-8", "replace")


def collected(push: Push, pod: Pod, tail: str) -> Collected:
    """The output, and what a command wrote into its result file."""
    ended = pod.main.terminated
    message = ended.message if ended is not None else ""
    if pod.metadata.annotation(RESULT_ANNOTATION) != ResultFrom.JSON:
        return Collected(output=tail or message)  # the cluster keeps the end of the log of what failed
    result = message.encode()
    if len(result) < RESULT_BYTES or (ended is not None and ended.exit_code != 0):
        return Collected(output=tail, result=result or None)
    error = ErrorInfo(
        "ResultTooLargeError",
        f"the result is longer than the {RESULT_BYTES - 1:,} bytes that a pod can hand over; print it as the last line "
        "and write result='last_line', or store it and return where it is",
    )
    return Collected(Outcome(*push.attempt, Verdict.FAILED, error=error, retryable=False, output=tail), tail)


def _log(api: Api, path: str, lines: int) -> bytes:
    try:
        return api.read(path, container=MAIN, tailLines=str(lines), limitBytes=str(MOST_BYTES))
    except ApiError as error:
        if error.code >= 500 or error.code == 429:  # the API asks the pod's machine, which may be silent
            raise
        return b""  # it has not begun, or its pod is gone
