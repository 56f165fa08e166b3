"""What Amazon's errors say: whether a submission was refused, came at a bad time, or may have been carried out.

Only what is known to be one of the first two is; everything else leaves it open, and the job is searched for.
"""

from __future__ import annotations

import re
from typing import Any

from segue.config import install_command
from segue.dispatcher.protocol import BlindError, BusyError, RefusedError, UnsureError
from segue.errors import SegueError

THROTTLED = frozenset({
    "TooManyRequestsException", "ThrottlingException", "Throttling", "ThrottledException", "RequestLimitExceeded",
    "RequestThrottled", "RequestThrottledException", "SlowDown", "LimitExceededException", "PriorRequestNotComplete",
})  # fmt: skip
_OF_THE_KEYS = frozenset({
    "ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId",
    "InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed",
    "InvalidAccessKeyId",
})  # fmt: skip
_CUT_OFF = frozenset({"RequestTimeout", "RequestTimeoutException"})  # with a status of 400, and yet it may have arrived
_NOT_SENT = (
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError",
    "UnauthorizedSSOTokenError", "SSOTokenLoadError", "NoRegionError", "ProfileNotFound", "EndpointConnectionError",
    "ConnectTimeoutError", "ProxyConnectionError", "InvalidConfigError", "ModuleNotFoundError",
)  # fmt: skip
_FOR_NOW = re.compile(r"disabled|not in valid state|not enabled|is inactive|invalid state", re.IGNORECASE)
THROTTLED_SECONDS = 5.0
LATER_SECONDS = 30.0


def code_of(error: BaseException) -> str:
    """Amazon's word for it; '' for an error that is not Amazon's."""
    return str(_told(error).get("Error", {}).get("Code", ""))


def is_throttled(error: BaseException) -> bool:
    """Whether Amazon asks for patience."""
    return code_of(error) in THROTTLED or _status(error) == 429


def of_submission(error: Exception, what: str) -> SegueError:
    """What an error of the call that makes a job means."""
    known = _known(error, what)
    return known or UnsureError(f"{what}: {_text(error)}")


def of_preparation(error: Exception, what: str) -> SegueError:
    """What an error of a call before it means: nothing of the job exists."""
    known = _known(error, what)
    return known or BusyError(f"{what}: {_text(error)}", seconds=LATER_SECONDS)


def of_question(error: Exception, what: str) -> BlindError:
    """What an error of a question means: nothing is known."""
    return BlindError(f"{what}: {_text(error)}")


def _known(error: Exception, what: str) -> SegueError | None:
    said = f"{what}: {_text(error)}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if is_throttled(error):
        return BusyError(said, seconds=THROTTLED_SECONDS)
    if code_of(error) in _OF_THE_KEYS or not kinds.isdisjoint(_NOT_SENT):
        return BusyError(said, seconds=LATER_SECONDS)
    if "ParamValidationError" in kinds:
        return RefusedError(said)
    if 400 <= _status(error) < 500 and code_of(error) not in _CUT_OFF:
        return BusyError(said, seconds=LATER_SECONDS) if _FOR_NOW.search(said) else RefusedError(said)
    return None


def _told(error: BaseException) -> dict[str, Any]:
    told = getattr(error, "response", None)
    return told if isinstance(told, dict) else {}


def _status(error: BaseException) -> int:
    return int(_told(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _text(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"boto3 is not installed where the dispatcher runs. Run there: {install_command('aws')}"
    told = _told(error).get("Error", {})
    return f"{told.get('Code')}: {told.get('Message', '')}" if told else f"{type(error).__name__}: {error}"
