"""One HTTP request with a body, and its signature. In a separate module because http.client and OpenSSL load slowly.

Promises: everything (name resolution, connecting, TLS, sending, the answer) ends within `timeout` seconds, whatever the
other side does, and little of the answer is kept in memory. A redirect is not followed, because that would drop the
body. Nothing is unpacked. Every way in which the network can fail is one error. A link-local address (169.254.0.0/16,
where clouds provide credentials) is never connected to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from segue.authoring.reaching import Address, Place, find
from segue.errors import DeliveryError, SegueError
from segue.printable import printable, shortened

MOST_ANSWER_BYTES = 2000  # of an answer that is shown
MOST_READ_BYTES = 256 * 1024  # of everything that the other side sends
MOST_REASON = 300  # characters
MOST_RETRY_AFTER_SECONDS = 3600.0
POLITE_SECONDS = 1.0  # for the rest of an answer, after its status has arrived
_AT_ONCE = 64 * 1024
_URL_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))


class Answer(NamedTuple):
    """The answer of the server."""

    status: int
    headers: http.client.HTTPMessage
    text: str  # the beginning of it, printable


class Target(NamedTuple):
    """A URL in parts."""

    scheme: str
    host: str
    port: int
    path: str  # with its query
    headers: dict[str, str]  # that the URL stands for

    @property
    def netloc(self) -> str:
        """Host and port as in the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"http": 80, "https": 443}


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float, public_only: bool = False) -> Answer:
    """Send it and return the answer, whatever its status. Raises DeliveryError if there is none.

    `timeout` is in seconds, for all of it. With `public_only` it does not go to private networks.
    """
    deadline = Deadline(timeout)
    line = None
    try:
        target = target_of(url)
        line = _connected(target, deadline, public_only=public_only)
        return _exchange(line, target, body, headers)
    except SegueError:
        raise
    except (http.client.InvalidURL, ValueError) as error:  # the message quotes the URL, which may contain a secret
        what = "the URL or a header contains an invalid character, such as the end of a line"
        raise DeliveryError(f"{what} ({type(error).__name__})") from None
    except TimeoutError:
        raise DeliveryError(f"it took longer than its timeout of {timeout:g} seconds") from None
    except (OSError, http.client.HTTPException) as error:
        why = str(error) or "the connection ended"
        raise DeliveryError(shortened(f"{type(error).__name__}: {why}", MOST_REASON)) from error
    finally:
        if line is not None:
            line.end()


def signature(secret: str, body: bytes, at: int) -> str:
    """The value of the header `Segue-Signature` of a body that is sent at this Unix time."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def target_of(url: str) -> Target:
    """The parts of an http(s) URL. Raises ValueError for any other text, without quoting it."""
    if any(char <= " " or char == "\x7f" for char in url):
        raise ValueError("a control character or a blank")
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in _PORTS or not host:
        raise ValueError("not an http(s) URL with a host")
    user, at, _ = parts.netloc.rpartition("@")
    token = base64.b64encode(unquote(user).encode()).decode()
    path = quote(parts.path or "/", safe=_URL_CHARACTERS) + (
        f"?{quote(parts.query, safe=_URL_CHARACTERS)}" if parts.query else ""
    )
    name = host if host.isascii() else host.encode("idna").decode()
    return Target(scheme, name, parts.port or _PORTS[scheme], path, {"Authorization": f"Basic {token}"} if at else {})


def retry_after(headers: http.client.HTTPMessage, now: datetime) -> float | None:
    """The seconds after which the server wants the next request, from its header Retry-After; None if it has none.

    The header contains seconds or a date; a date is compared with the server's own clock, if the answer has it.
    """
    for said in headers.get_all("Retry-After", []):
        text = str(said).strip()
        if text.isascii() and text.isdigit():
            seconds = float(text)
        elif (until := _moment(text)) is not None:
            seconds = (until - (_moment(str(headers.get("Date", ""))) or now)).total_seconds()
        else:
            continue
        return min(seconds, MOST_RETRY_AFTER_SECONDS) if seconds > 0 else None
    return None


def _moment(text: str) -> datetime | None:
    """A date as HTTP writes it; None if the text is not one."""
    try:
        found = parsedate_to_datetime(text)
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class Deadline:
    """The time by which everything must have ended."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds that are left. Raises TimeoutError if there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def sooner(self, seconds: float) -> None:
        """Move the deadline to at most this many seconds from now."""
        self._at = min(self._at, time.monotonic() + seconds)


class _Line:
    """A connected socket that respects the deadline in each wait; http.client uses it as a socket."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.sock = sock
        self.deadline = deadline
        self.read_bytes = 0
        self.proxy: Target | None = None  # a proxy that takes whole URLs

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self.sock.settimeout(self.deadline.left())
            rest = rest[self.sock.send(rest[:_AT_ONCE]) :]

    def recv_into(self, buffer: Any) -> int:
        self.sock.settimeout(self.deadline.left())
        count = self.sock.recv_into(buffer)
        self.read_bytes += count
        if self.read_bytes > MOST_READ_BYTES:
            raise http.client.HTTPException(f"the answer's headers and beginning are over {MOST_READ_BYTES:,} bytes")
        return count

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self), 4096)

    def close(self) -> None:
        """Does nothing: http.client closes it when the answer begins, while its end is still to be read."""

    def end(self) -> None:
        self.sock.close()


class _Reading(io.RawIOBase):
    def __init__(self, line: _Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._line.recv_into(buffer)


class _Response(http.client.HTTPResponse):
    def _read_status(self) -> tuple[str, int, str]:
        """The final status: interim ones (100 to 199) are skipped."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


def _exchange(line: _Line, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.auto_open = 0
    connection.response_class = _Response
    connection.sock = line
    told = {"Host": target.netloc, "Connection": "close"} | target.headers | dict(headers)
    path = target.path
    if line.proxy is not None:
        path = f"http://{target.netloc}{path}"
        told |= {f"Proxy-{name}": value for name, value in line.proxy.headers.items()}
    connection.request("POST", path, body, told)
    response = connection.getresponse()
    if 200 <= response.status < 300:
        line.deadline.sooner(POLITE_SECONDS)
    text = b""
    with suppress(OSError, http.client.HTTPException):  # the status has arrived, and that decides
        while len(text) < MOST_ANSWER_BYTES and (more := response.read1(MOST_ANSWER_BYTES - len(text))):
            text += more
    return Answer(response.status, response.headers, printable(text.decode("utf-8", "replace")))


def _connected(target: Target, deadline: Deadline, *, public_only: bool) -> _Line:
    """A connection to the target, through the proxy of the environment if there is one for it."""
    named = getproxies().get(target.scheme)
    if not named or proxy_bypass(target.host):
        line = _Line(
            _opened(find(Place(target.host, target.port), deadline, public_only=public_only), deadline), deadline
        )
        through = None
    else:
        through = target_of(named if "://" in named else f"http://{named}")
        place = Place(through.host, through.port)
        line = _Line(
            _opened(find(place, deadline, is_proxy_for=target.host, public_only=public_only), deadline), deadline
        )
    try:
        if through is not None:
            line = _secured(line, through) if through.scheme == "https" else line
            line.proxy = through
            if target.scheme == "https":
                _ask_proxy(line, target, through)
                line.proxy = None
        return _secured(line, target) if target.scheme == "https" else line
    except BaseException:
        line.end()
        raise


def _opened(addresses: list[Address], deadline: Deadline) -> socket.socket:
    """A socket that is connected to the first address that answers; each address gets its share of the time."""
    for number, address in enumerate(addresses):
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.left() / (len(addresses) - number))
            sock.connect(address.where)
            return sock
        except BaseException as error:
            sock.close()
            if number == len(addresses) - 1 or not isinstance(error, OSError):
                raise
    raise OSError("it has no address")


def _ask_proxy(line: _Line, target: Target, through: Target) -> None:
    """Let the proxy connect this line to the target."""
    place = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
    told = [f"Proxy-{name}: {value}" for name, value in through.headers.items()]
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}", *told]
    line.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    response = _Response(line, method="CONNECT")  # type: ignore[arg-type]
    response.begin()
    if response.status != http.client.OK:
        raise OSError(f"the proxy {through.netloc} answered {response.status}")


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _secured(line: _Line, target: Target) -> _Line:
    line.sock.settimeout(line.deadline.left())
    return _Line(_tls().wrap_socket(line.sock, server_hostname=target.host), line.deadline)
