"""Deliveries to servers that misbehave: each attempt ends in its time, with an error that can be shown."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPMessage
from typing import Any

import pytest

from segue import errors
from segue.authoring import posting
from segue.authoring.posting import post, retry_after, target_of
from segue.authoring.webhook import send_webhook

TIMEOUT = 0.4
SLACK = 1.5  # of a busy machine
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def serving(behave: Callable[[socket.socket], None], *, after: bytes = b"\r\n\r\n") -> Iterator[str]:
    """A server that reads a request, up to `after`, and then does what `behave` says, until the other side is gone."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(10)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connected, _ = listening.accept()
                with connected, suppress(OSError):
                    connected.settimeout(5)
                    said = b""
                    while after not in said:
                        said += connected.recv(65536)
                    behave(connected)
                    connected.shutdown(socket.SHUT_WR)
                    while connected.recv(65536):
                        pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)


def saying(*parts: bytes, times: int = 1, every: float = 0.0) -> Callable[[socket.socket], None]:
    """Say the first part, and then the last one so many times."""

    def behave(connected: socket.socket) -> None:
        connected.sendall(b"".join(parts[:-1]))
        for _ in range(times):
            connected.sendall(parts[-1])
            if every:
                time.sleep(every)

    return behave


def reset(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connected.close()


def silent(connected: socket.socket) -> None:
    while connected.recv(65536):
        pass


FAILING: dict[str, Callable[[socket.socket], None]] = {
    "silent": silent,
    "reset": reset,
    "closed": lambda _: None,
    "drips its status": saying(b"H", times=100, every=0.05),
    "drips its headers": saying(OK, b"X: y\r\n", times=100, every=0.05),
    "endless headers": saying(OK, b"X-A: " + b"b" * 1000 + b"\r\n", times=100_000),
    "an endless header": saying(OK, b"X-A: ", b"b" * 65536, times=100_000),
    "an endless status line": saying(b"HTTP/1.1 200 ", b"b" * 65536, times=100_000),
    "a flood of 100": saying(b"HTTP/1.1 100 Continue\r\n\r\n", times=1_000_000),
    "a flood of 103": saying(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", times=1_000_000),
    "slow 102": saying(b"HTTP/1.1 102 Processing\r\n\r\n", times=100, every=0.05),
    "nonsense": saying(b"\x00\xff\x1b[2J junk\r\n\r\n"),
    "another protocol": saying(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "a status beyond all": saying(b"HTTP/1.1 99999 What\r\n\r\n"),
    "a status that is a word": saying(b"HTTP/1.1 fine OK\r\n\r\n"),
    "500 and an endless body": saying(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 65536, times=100_000),
    "500 and a dripping body": saying(
        b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", times=99, every=0.05
    ),
    "500 and broken chunks": saying(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\xff"),
    "500 and less than it says": saying(b"HTTP/1.1 500 No\r\nContent-Length: 1000000000000\r\n\r\nshort"),
    "500 and a length that is a word": saying(b"HTTP/1.1 500 No\r\nContent-Length: many\r\n\r\nshort"),
    "500 and a packed body": saying(b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08" + b"\0" * 1000),
    "500 with odd headers": saying(b"HTTP/1.1 500 \xe9\r\nX: \xff\xfe\r\nRetry-After: \xb2\r\nno colon\r\n\r\n"),
    "a redirect": saying(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"),
    "429 in a million years": saying(b"HTTP/1.1 429 No\r\nRetry-After: 99999999999999999999\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAILING)
def test_it_fails_in_time_and_is_tried_again(what: str) -> None:
    with serving(FAILING[what]) as url:
        began = time.monotonic()
        with pytest.raises((errors.DeliveryError, errors.Retry)) as told:
            send_webhook.fn({"a": 1}, url=url, timeout=TIMEOUT)
        assert time.monotonic() - began < TIMEOUT + SLACK
    assert len(str(told.value)) < 3 * posting.MOST_ANSWER_BYTES
    assert str(told.value).replace("\n", "").replace("\t", "").isprintable()


SUCCEEDING = {
    "100 before it": saying(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hint\r\nA: b\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
    "an endless body": saying(OK, b"\r\n", b"x" * 65536, times=100_000),
    "a dripping body": saying(OK, b"\r\n", b"x", times=100, every=0.05),
    "broken chunks": saying(OK, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "HTTP/1.0 without headers": saying(b"HTTP/1.0 200 OK\r\n\r\nhello"),
}  # fmt: skip


@pytest.mark.parametrize("what", SUCCEEDING)
def test_the_status_decides(what: str) -> None:
    with serving(SUCCEEDING[what]) as url:
        began = time.monotonic()
        assert send_webhook.fn({"a": 1}, url=url, timeout=TIMEOUT)["status"] in (200, 204)
        assert time.monotonic() - began < TIMEOUT + SLACK


def test_a_body_that_the_other_side_does_not_take_is_over_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        with pytest.raises(errors.DeliveryError, match="took longer than its timeout"):
            post(f"http://127.0.0.1:{deaf.getsockname()[1]}", b"x" * 50_000_000, {}, timeout=TIMEOUT)
        assert time.monotonic() - began < TIMEOUT + SLACK


@pytest.mark.parametrize("behave", [saying(b"HTTP/1.1 400 Speak up\r\n\r\n"), silent, reset])
def test_tls_that_is_none_is_an_error(behave: Callable[[socket.socket], None]) -> None:
    with serving(behave, after=b"\x16") as url, pytest.raises(errors.DeliveryError):
        post(url.replace("http:", "https:"), b"{}", {}, timeout=TIMEOUT)


def test_a_name_that_is_not_found_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [go.wait(10)][:0])
    with pytest.raises(errors.DeliveryError, match="took longer than its timeout"):
        post("http://slow.example", b"{}", {}, timeout=0.1)
    go.set()
    monkeypatch.undo()
    with pytest.raises(errors.DeliveryError):
        post("http://no-such-host.invalid", b"{}", {}, timeout=5)


def message(*headers: tuple[str, str]) -> HTTPMessage:
    made = HTTPMessage()
    for name, value in headers:
        made[name] = value
    return made


@pytest.mark.parametrize(
    "said, seconds",
    [
        (["7"], 7), ([" 7 "], 7), (["9" * 400], 3600), (["0"], None), (["-5"], None), (["soon"], None), ([""], None),
        (["²"], None), (["٣"], None), (["1.5"], None), (["1e3"], None), ([], None), (["soon", "9"], 9), (["5", "9"], 5),
        ([format_datetime(NOW + timedelta(seconds=90), usegmt=True)], 90),
        ([format_datetime(NOW + timedelta(days=9000), usegmt=True)], 3600),
        ([format_datetime(NOW - timedelta(days=1), usegmt=True)], None),
        (["Friday, 20-Nov-26 12:01:00 GMT"], 60), (["Fri Nov 20 12:01:00 2026"], 60),
        (["Fri, 99 Nov 2026 12:00:00 GMT"], None),
        (["Fri, 20 Nov 99999999 12:00:00 GMT"], None), (["Mon, 01 Jan 0001 00:00:00 +2359"], None),
    ],
)  # fmt: skip
def test_when_to_come_again(said: list[str], seconds: float | None) -> None:
    assert retry_after(message(*(("Retry-After", each) for each in said)), NOW) == seconds


def test_a_date_is_compared_with_the_servers_own_clock() -> None:
    headers = message(("Date", "Fri, 20 Nov 2026 17:00:00 GMT"), ("Retry-After", "Fri, 20 Nov 2026 17:00:30 GMT"))
    assert retry_after(headers, NOW) == 30


# Where it may go ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/", "http://[fd00:ec2::254]"]
)  # fmt: skip
def test_addresses_of_the_link_are_never_reached(url: str) -> None:
    with pytest.raises(errors.Abort, match="may not reach"):
        post(url, b"{}", {}, timeout=5)


def test_a_name_is_judged_by_the_address_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(errors.Abort, match=r"may not reach metadata\.example"):
        post("http://metadata.example", b"{}", {}, timeout=5)


@pytest.mark.parametrize(
    "allow, is_reached",
    [
        ("", True), ("127.0.0.0/8", True), ("hooks.example.org, 127.0.0.1", True), ("10.0.0.0/8", False),
        ("*.example.org", False),
    ],
)  # fmt: skip
def test_hosts_that_are_not_allowed_are_not_reached(
    monkeypatch: pytest.MonkeyPatch, allow: str, is_reached: bool
) -> None:
    monkeypatch.setenv("SEGUE_WEBHOOK_ALLOW", allow)
    with serving(saying(OK, b"\r\n")) as url:
        if is_reached:
            assert post(url, b"{}", {}, timeout=5).status == 200
        else:
            with pytest.raises(errors.Abort, match="SEGUE_WEBHOOK_ALLOW"):
                post(url, b"{}", {}, timeout=5)


def test_hosts_are_allowed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_WEBHOOK_ALLOW", "*.localhost.example, LOCALHOST")
    with serving(saying(OK, b"\r\n")) as url:
        assert post(url.replace("127.0.0.1", "localhost"), b"{}", {}, timeout=5).status == 200
    monkeypatch.setenv("SEGUE_WEBHOOK_ALLOW", "10.0.0.0/99")
    with pytest.raises(errors.ConfigError, match="is not a network"):
        post("http://127.0.0.1:1", b"{}", {}, timeout=5)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "2130706433",
     "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "[fd00:ec2::254]", "[fe80::1]", "100.64.0.1",
     "224.0.0.1", "[::]", "[64:ff9b:1::1]", "[64:ff9b::7f00:1]",
     "[2002:7f00:1::]"],
)  # fmt: skip
def test_a_webhook_for_public_hosts_only_does_not_go_to_private_ones(host: str) -> None:
    with pytest.raises((errors.Abort, errors.DeliveryError)) as refused:
        post(f"http://{host}:9/x", b"{}", {}, timeout=5, public_only=True)
    assert isinstance(refused.value, errors.Abort) or "gaierror" in str(refused.value)


def test_a_name_that_leads_to_a_private_host_is_refused_and_an_allowed_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def to_this_machine(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with serving(saying(OK, b"\r\n")) as url:
        monkeypatch.setattr(socket, "getaddrinfo", to_this_machine)
        named = url.replace("127.0.0.1", "hooks.example.org")
        with pytest.raises(errors.Abort):
            post(named, b"{}", {}, timeout=5, public_only=True)
        monkeypatch.setenv("SEGUE_WEBHOOK_ALLOW", "hooks.example.org")
        assert post(named, b"{}", {}, timeout=5, public_only=True).status == 200


# Through a proxy ------------------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    def proxy(connected: socket.socket) -> None:
        connected.sendall(b"HTTP/1.1 403 Not to there\r\nContent-Length: 0\r\n\r\n")

    def hear(connected: socket.socket) -> None:
        heard.append(b"heard")
        proxy(connected)

    with serving(hear) as url:
        address = url.replace("http://", "http://me:pass@")
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("https_proxy", address)
        assert post("http://hooks.example/x", b"{}", {}, timeout=5).status == 403
        with pytest.raises(errors.DeliveryError, match=r"the proxy 127\.0\.0\.1:\d+ answered 403"):
            post("https://hooks.example/x", b"{}", {}, timeout=5)
    assert len(heard) == 2


@pytest.mark.parametrize(
    "url, path, host",
    [
        ("http://a.example", "/", "a.example"), ("http://a.example:80/x?y=1#z", "/x?y=1", "a.example"),
        ("https://a.example:8443/ü?q=é", "/%C3%BC?q=%C3%A9", "a.example:8443"),
        ("http://[::1]:9/%20", "/%20", "[::1]:9"),
        ("HTTP://bücher.example/", "/", "xn--bcher-kva.example"), ("http://u:p@a.example/", "/", "a.example"),
    ],
)  # fmt: skip
def test_a_url_in_parts(url: str, path: str, host: str) -> None:
    target = target_of(url)
    assert (target.path, target.netloc) == (path, host)


@pytest.mark.parametrize(
    "url", ["http://a:b/", "http://a:99999/", "http://a\n/", "http://[/", "ftp://a/", "http:///x", "http://" + "ü" * 80]
)
def test_what_is_no_url_is_an_error_that_does_not_say_it(url: Any) -> None:
    with pytest.raises(errors.DeliveryError) as told:
        post(url, b"{}", {}, timeout=1)
    assert url.partition("://")[2] not in str(told.value) or url == "http:///x"
