"""`segue web` as a process: what it refuses, how it begins and how it stops."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

WEB = [sys.executable, "-m", "segue", "web"]


def refused(*options: str) -> str:
    done = subprocess.run([*WEB, "--port", "0", *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_it_does_not_open_itself_to_a_network_without_a_login(tmp_path: Path, host: str) -> None:
    said = refused("--database", f"sqlite:///{tmp_path}/segue.db", "--host", host)
    assert "--login" in said
    assert "--oidc-issuer" in said
    assert "--user-header" in said


def test_settings_that_do_not_fit_are_named(tmp_path: Path) -> None:
    database = ("--database", f"sqlite:///{tmp_path}/segue.db")
    assert "--trust-proxy" in refused(*database, "--user-header", "X-User")
    assert "--oidc-client-id" in refused(*database, "--oidc-issuer", "https://login.example.org")
    assert "https" in refused(*database, "--oidc-issuer", "http://login.example.org", "--oidc-client-id", "x")
    assert "GROUP=ROLE" in refused(*database, "--login", "--roles", "ops")
    assert "10.0.0.0/8" in refused(*database, "--login", "--trust-proxy", "proxy.example.org")


def test_it_serves_until_a_signal_and_stops_at_once_with_open_streams(tmp_path: Path) -> None:
    command = [*WEB, "--port", "0", "--database", f"sqlite:///{tmp_path}/segue.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as web:
        assert web.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", web.stdout.readline())
        assert found is not None
        assert urllib.request.urlopen(f"{found[0]}runs", timeout=30).status == 200
        with urllib.request.urlopen(f"{found[0]}live?topic=runs", timeout=30) as stream:
            assert stream.readline() == b"retry: 3000\n"
            began = time.monotonic()
            web.send_signal(signal.SIGTERM)
            web.wait(timeout=30)
        assert time.monotonic() - began < 2.5  # uvicorn looks for requests that end every 0.1 s, and waits at most 3 s


def test_systemd_hears_that_it_is_ready_lives_and_stops(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        told = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        command = [*WEB, "--port", "0", "--database", f"sqlite:///{tmp_path}/segue.db"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=told) as web:
            assert web.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+/", web.stdout.readline())
            assert address is not None
            assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            assert urllib.request.urlopen(f"{address[0]}healthz", timeout=30).status == 200
            web.send_signal(signal.SIGTERM)
            while (said := systemd.recv(100)) != b"STOPPING=1":
                assert said == b"WATCHDOG=1"
        assert web.returncode == 0
