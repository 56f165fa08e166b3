"""How workers and schedulers say how they are: to HTTP probes, to `segue health`, to systemd."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from segue import Segue
from tests.system import cli_tasks
from tests.system.cli_tasks import PATIENCE_SECONDS, wait_for
from tests.system.test_cli_processes import Spawn, finish, read_until, spawning


@pytest.fixture
def spawn(sqlite_url: str) -> Iterator[Spawn]:
    with spawning(sqlite_url) as start:
        yield start


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def ask(port: int, path: str) -> tuple[int, list[str]]:
    """The status and the problems that a probe gets."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_SECONDS) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text)["problems"]


def ready(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    assert process.stderr is not None
    read_until(process.stderr.fileno(), b"ready")
    return process


def test_a_worker_is_live_while_it_stops_but_not_ready(
    sqlite_url: str, spawn: Spawn, port: int, tmp_path: Path
) -> None:
    with Segue(sqlite_url) as segue:
        segue.start(cli_tasks.holding, str(tmp_path), 1)
    worker = ready(spawn("worker", "-c", "1", "--health", f"127.0.0.1:{port}"))
    assert [ask(port, path) for path in ("/live", "/ready")] == [(200, [])] * 2
    assert ask(port, "/metrics")[0] == 404
    wait_for(tmp_path / "begun-0")
    worker.send_signal(signal.SIGHUP)
    assert worker.stderr is not None
    read_until(worker.stderr.fileno(), b"running steps are finished first")
    assert ask(port, "/live") == (200, [])
    assert ask(port, "/ready") == (503, ["it is stopping"])
    (tmp_path / "go").touch()
    finish(worker)


def test_a_scheduler_answers_and_a_taken_port_is_refused(spawn: Spawn, port: int) -> None:
    scheduler = ready(spawn("scheduler", "--health", f":{port}"))
    assert [ask(port, path) for path in ("/live", "/ready")] == [(200, [])] * 2
    taken = spawn("scheduler", "--health", f":{port}")
    _, err = finish(taken, exit_code=2)
    assert f"--health :{port} cannot be used" in err
    scheduler.send_signal(signal.SIGHUP)
    finish(scheduler)


def test_a_command_finds_the_worker_of_this_machine(sqlite_url: str, spawn: Spawn) -> None:
    Segue(sqlite_url).close()
    _, err = finish(spawn("health"), exit_code=1)
    assert "no worker of" in err
    worker = ready(spawn("worker"))
    name = f"{socket.gethostname()}:{worker.pid}"
    assert f"{name} is running, heard of" in finish(spawn("health"))[0]
    [found] = json.loads(finish(spawn("health", name, "--json"))[0])
    assert found["name"] == name
    finish(spawn("health", "another-machine"), exit_code=1)
    worker.kill()
    worker.wait()
    assert finish(spawn("health", name))[0]  # its lease lasts


def test_systemd_hears_that_a_worker_is_ready_lives_and_stops(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(PATIENCE_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        with spawning(sqlite_url) as start:
            worker = start("worker")
            assert [systemd.recv(100) for _ in range(4)] == [b"READY=1"] + [b"WATCHDOG=1"] * 3
            worker.send_signal(signal.SIGTERM)
            end = time.monotonic() + PATIENCE_SECONDS
            while systemd.recv(100) != b"STOPPING=1":
                assert time.monotonic() < end
            finish(worker)
