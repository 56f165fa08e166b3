"""A WSGI application before another one, that counts calls and fails as a test says.

POST /_faults {"action": "submitjob", "what": "cut", "times": 2}, where `what` is "cut" (it is carried out, and the
connection is closed), "fail" (carried out, and answered with 500), "throttle" or "deny" (not carried out); or
{"action": ..., "rate": 5} for so many a second. GET /_calls counts the calls, by the names of Amazon's actions.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any


class Wire:
    """Counts calls, and fails as a test says."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._calls: Counter[str] = Counter()
        self._faults: list[dict[str, Any]] = []
        self._rates: dict[str, tuple[float, float, float]] = {}  # calls a second; those left, and when that was so
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/_calls":
            return self._say(start, "200 OK", dict(self._calls))
        if path == "/_no_faults":
            self._faults.clear()
            self._rates.clear()
            return self._say(start, "200 OK", {})
        if path == "/_faults":
            self._note(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
            return self._say(start, "200 OK", {})
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        action = (target.rpartition(".")[2] or path.rpartition("/")[2]).lower()
        what = self._fault(action)
        if what == "throttle":
            return self._say(
                start, "429 Too Many Requests", {"__type": "TooManyRequestsException", "message": "Too Many Requests"}
            )
        if what == "deny":
            return self._say(
                start,
                "403 Forbidden",
                {"__type": "AccessDeniedException", "message": f"User is not authorized to perform: {action}"},
            )
        if what == "fail":
            list(self._application(environ, lambda *_: None))
            return self._say(start, "500 Internal Server Error", {"__type": "ServerException", "message": "internal"})
        if what == "cut":
            list(self._application(environ, lambda *_: None))
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return self._application(environ, start)

    def _note(self, fault: dict[str, Any]) -> None:
        with self._lock:
            if "rate" in fault:
                self._rates[fault["action"]] = (fault["rate"], fault["rate"], time.monotonic())
            else:
                self._faults += [fault] * fault.get("times", 1)

    def _fault(self, action: str) -> str | None:
        with self._lock:
            self._calls[action] += 1
            for fault in self._faults:
                if fault["action"] == action:
                    self._faults.remove(fault)
                    return str(fault["what"])
            if action in self._rates:
                rate, left, at = self._rates[action]
                left = min(rate, left + (time.monotonic() - at) * rate)
                self._rates[action] = (rate, left - (left >= 1), time.monotonic())
                return None if left >= 1 else "throttle"
        return None

    @staticmethod
    def _say(start: Callable[..., Any], status: str, body: dict[str, Any]) -> list[bytes]:
        headers = [("Content-Type", "application/json")]
        if "__type" in body:
            headers.append(("x-amzn-errortype", body["__type"]))
        start(status, headers)
        return [json.dumps(body).encode()]
