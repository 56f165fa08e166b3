"""One HTTP request with a body, and its signature. Kept apart because urllib and OpenSSL take long to load.

Promises: a redirect is not followed, because that would turn the request into one without its body; every way in which
the network can fail is one error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from segue.errors import DeliveryError

MOST_ANSWER_BYTES = 2000  # of an answer that is shown


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    text: str  # the beginning of it


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> Answer:
    """Send it and return the answer, whatever its status; raises DeliveryError when there is none.

    `timeout` is in seconds, for the connection and for each wait for an answer.
    """
    try:
        plain, basic = _without_user(url)
        request = urllib.request.Request(plain, data=body, headers=basic | dict(headers), method="POST")
        with _opener.open(request, timeout=timeout) as response:
            return _answer(response.status, response)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error)
    except urllib.error.URLError as error:
        raise DeliveryError(f"{error.reason or type(error).__name__}") from error
    except (http.client.InvalidURL, ValueError) as error:  # which quote what was filled in: it may be a secret
        what = "the URL or a header holds what may not be in it, such as the end of a line"
        raise DeliveryError(f"{what} ({type(error).__name__})") from None
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError(f"{type(error).__name__}: {error}") from error


def signature(secret: str, body: bytes, at: int) -> str:
    """The value of the header `Segue-Signature` of a body that is sent at this Unix time."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def _without_user(url: str) -> tuple[str, dict[str, str]]:
    """`https://user:password@host` as urllib takes it: the URL, and a header for the rest."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    token = base64.b64encode(unquote(user).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {token}"}


def _answer(status: int, response: Any) -> Answer:
    try:
        text = response.read(MOST_ANSWER_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""  # the status has come, and that decides
    return Answer(status, response.headers, text)
