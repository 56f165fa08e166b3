"""Clients that send or read slowly, over sockets of their own: the server does not wait for them without an end."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from segue import Segue
from segue.web import patience, serve
from segue.web.access import guard
from segue.web.access.local import LOCAL_HOSTS, LocalAccess
from segue.web.app import Application
from segue.web.site import Settings, Site

pytestmark = pytest.mark.system

PATIENCE = 20
HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def port(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that is impatient."""
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.4)
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(patience, "READ_SECONDS", 0.4)
    with Segue(sqlite_url) as segue:
        listening = serve.listen("127.0.0.1", 0)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)  # what it holds for those who do not read
        app = Application(Site(segue, LocalAccess(), Settings(allowed_hosts=LOCAL_HOSTS)))
        with serve.served(app, listening):
            yield listening.getsockname()[1]


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as client:
        yield client


def drip(client: socket.socket, text: bytes) -> bytes:
    """Send a byte now and then, and return what the server says before it closes the connection."""
    said = b""
    client.settimeout(0.05)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            client.sendall(text)
            if not (part := client.recv(10_000)):
                return said
            said += part
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return said
    raise AssertionError("the server still waits")


def test_a_body_that_drips_is_answered_with_408(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"POST /api/v1/runs HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000\r\n\r\n")
        said = drip(client, b" ")
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in said.lower()
    assert b"application/problem+json" in said


@pytest.mark.parametrize("target", [b"/act/runs", b"/login"])
def test_forms_that_drip_are_answered_too(port: int, target: bytes) -> None:
    with connected(port) as client:
        client.sendall(b"POST " + target + b" HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000\r\n\r\n")
        assert drip(client, b"a").startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 404 "))


def test_a_body_after_a_refusal_does_not_keep_the_connection(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"POST /runs HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1000\r\n\r\n")
        assert drip(client, b"a").startswith(b"HTTP/1.1 4")


def test_a_head_that_drips_is_answered_with_408(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        assert drip(client, b"a").startswith(b"HTTP/1.1 408 ")


def test_the_head_of_a_further_request_may_not_drip_either(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(10_000).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        assert drip(client, b"a").count(b"HTTP/1.1 408 ") == 1


def test_a_connection_on_which_nothing_is_said_is_closed(port: int) -> None:
    with connected(port) as client:
        assert client.recv(100) == b""


def test_a_request_that_comes_in_parts_is_answered(port: int) -> None:
    with connected(port) as client:
        for part in (b"GET /healthz ", b"HTTP/1.1\r\nHost: local", b"host\r\n\r\n"):
            client.sendall(part)
            time.sleep(0.02)
        assert client.recv(10_000).startswith(b"HTTP/1.1 200 ")


def test_a_stream_outlives_the_limits_of_requests(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /live?topic=runs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(1)
        client.settimeout(0.3)
        said = client.recv(10_000)
        with pytest.raises(TimeoutError):  # it is not closed
            client.recv(10_000)
    assert b"text/event-stream" in said


def test_a_client_that_does_not_read_is_cut_off(port: int) -> None:
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", port))
        wanted = 30
        client.sendall(b"GET /static/app.css HTTP/1.1\r\nHost: localhost\r\n\r\n" * wanted)
        time.sleep(1)
        answers = b""
        with suppress(ConnectionResetError):
            while part := client.recv(1_000_000):
                answers += part
        assert 0 < answers.count(b"HTTP/1.1 200 ") < wanted
