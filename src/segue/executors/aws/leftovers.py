"""What a container leaves: its log in CloudWatch, and a result in a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from segue.attempt.spool import TAIL_BYTES
from segue.dispatcher.protocol import Push
from segue.executors.aws.clients import Clients
from segue.executors.aws.errors import code_of
from segue.executors.aws.requests import result_url

MOST_RESULT_BYTES = 16 * 2**20
_LINES = 400
_PAGES = 5
_ABSENT = frozenset({"ResourceNotFoundException"})
_DENIED = frozenset({"AccessDeniedException", "AccessDenied", "403"})
_NO_OBJECT = frozenset({"NoSuchKey", "404", "NotFound"}) | _DENIED  # who may not list a bucket is denied what is absent
Ask = Callable[..., Any]


class Log(NamedTuple):
    """Where the log of a container is; `stream` is None while it has none."""

    group: str
    stream: str | None


def log_of(configuration: dict[str, Any] | None, *, stream: str | None, group: str) -> Log:
    """The log of a container with this `logConfiguration`; `group` if that says nothing."""
    options = (configuration or {}).get("options") or {}
    return Log(options.get("awslogs-group", group), stream)


def tail_of(log: Log, clients: Clients, ask: Ask) -> str:
    """The end of a log; '' if there is none. Raises BlindError if CloudWatch does not answer."""
    if log.stream is None:
        return ""
    where = {"logGroupName": log.group, "logStreamName": log.stream, "startFromHead": False, "limit": _LINES}
    token: str | None = None
    for _ in range(_PAGES):  # a page may be empty although there are others before it
        try:
            page = ask("GetLogEvents", lambda: clients.asking("logs").get_log_events, **where, passes=_ABSENT | _DENIED)
        except Exception as error:
            if code_of(error) in _DENIED:
                return f"segue: its log in {log.group} cannot be read: permission logs:GetLogEvents is missing\n"
            if code_of(error) in _ABSENT:
                return ""
            raise
        if page["events"] or page.get("nextBackwardToken") == token:
            text = "".join(f"{event['message']}\n" for event in page["events"])
            return text.encode()[-TAIL_BYTES:].decode("utf-8", "ignore")
        token = page.get("nextBackwardToken")
        where["nextToken"] = token
    return ""


def result_of(push: Push, results: str, clients: Clients, ask: Ask) -> bytes | None:
    """What a command wrote as its result; None if it wrote nothing."""
    bucket, key = _place_of(result_url(push, results))
    try:
        found = ask("GetObject", lambda: clients.asking("s3").get_object, Bucket=bucket, Key=key, passes=_NO_OBJECT)
    except Exception as error:
        if code_of(error) in _NO_OBJECT:
            return None
        raise
    with found["Body"] as body:
        return bytes(body.read(MOST_RESULT_BYTES + 1))


def remove_results(pushes: Iterable[Push], results: str, clients: Clients, ask: Ask) -> None:
    """Delete what commands wrote as results."""
    places = [_place_of(result_url(push, results)) for push in pushes]
    if places:
        objects = [{"Key": key} for _, key in places]
        ask(
            "DeleteObjects",
            lambda: clients.asking("s3").delete_objects,
            Bucket=places[0][0],
            Delete={"Objects": objects, "Quiet": True},
        )


def _place_of(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key
