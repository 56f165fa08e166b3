"""`segue` as processes: workers that are stopped warm and cold, `dev`, waiting, broken pipes."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from segue import Segue
from segue.client import Run
from segue.model import StepStatus
from tests.system import cli_tasks
from tests.system.cli_tasks import PATIENCE_SECONDS, wait_for

ROOT = Path(__file__).resolve().parents[2]
APP = cli_tasks.__name__
READY = b"ready"

Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn(database_url: str) -> Iterator[Spawn]:
    with spawning(database_url) as start:
        yield start


@pytest.fixture
def lone_segue(sqlite_url: str) -> Iterator[Segue]:
    """For what has nothing to do with the kind of database."""
    with Segue(sqlite_url) as segue:
        yield segue


@pytest.fixture
def lone_spawn(sqlite_url: str) -> Iterator[Spawn]:
    with spawning(sqlite_url) as start:
        yield start


@contextmanager
def spawning(url: str) -> Iterator[Spawn]:
    """A function that starts `segue ...` on this database; none outlives the block."""
    started: list[subprocess.Popen[bytes]] = []
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"SEGUE_DATABASE_URL": url, "SEGUE_APP": APP, "PYTHONPATH": paths}

    def start(*words: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "segue", *words],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, env=environment, cwd=ROOT,
            )
        )  # fmt: skip
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def finish(process: subprocess.Popen[bytes], exit_code: int = 0) -> tuple[str, str]:
    """Wait for the end of a process; returns what it printed."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == exit_code, err.decode() if err else out
    return out.decode(), err.decode() if err else ""


def read_until(descriptor: int, wanted: bytes) -> bytes:
    seen = b""
    end = time.monotonic() + PATIENCE_SECONDS
    while wanted not in seen:
        assert time.monotonic() < end, seen
        seen += os.read(descriptor, 65536)
    return seen


def statuses(run: Run) -> list[str]:
    return [step.status.value for step in run.steps()]


def begin_holding(segue: Segue, spawn: Spawn, folder: Path, *words: str) -> tuple[Run, subprocess.Popen[bytes]]:
    """A run of three steps that wait for a file, and a worker with one place that runs the first."""
    run = segue.start(cli_tasks.holding, str(folder), 3)
    worker = spawn("worker", "-c", "1", *words)
    wait_for(folder / "begun-0")
    return run, worker


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_the_first_signal_finishes_what_runs_and_hands_back_the_rest(
    segue: Segue, spawn: Spawn, tmp_path: Path, pool: str
) -> None:
    run, worker = begin_holding(segue, spawn, tmp_path, "--pool", pool)
    assert worker.stderr is not None
    read_until(worker.stderr.fileno(), READY)
    worker.send_signal(signal.SIGTERM)
    read_until(worker.stderr.fileno(), b"running steps are finished first")
    (tmp_path / "go").touch()
    finish(worker)
    assert statuses(run) == ["succeeded", "ready", "ready"]
    assert [step.failures + step.losses for step in run.steps()] == [0, 0, 0]
    assert not (tmp_path / "begun-1").exists()


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_the_second_signal_hands_back_what_runs(
    lone_segue: Segue, lone_spawn: Spawn, tmp_path: Path, pool: str
) -> None:
    run, worker = begin_holding(lone_segue, lone_spawn, tmp_path, "--pool", pool)
    assert worker.stderr is not None
    worker.send_signal(signal.SIGTERM)
    read_until(worker.stderr.fileno(), b"running steps are finished first")
    worker.send_signal(signal.SIGTERM)
    _, err = finish(worker, exit_code=128 + signal.SIGTERM)
    assert "running steps are ended and handed back" in err
    assert statuses(run) == ["ready", "ready", "ready"]
    assert [step.failures + step.losses for step in run.steps()] == [0, 0, 0]
    assert lone_segue.workers() == []


def test_grace_that_runs_out_hands_back_what_runs(lone_segue: Segue, lone_spawn: Spawn, tmp_path: Path) -> None:
    run, worker = begin_holding(lone_segue, lone_spawn, tmp_path, "--grace-seconds", "0")
    worker.send_signal(signal.SIGINT)
    finish(worker)
    assert statuses(run) == ["ready", "ready", "ready"]


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_burst_works_until_nothing_is_left(segue: Segue, spawn: Spawn, tmp_path: Path, pool: str) -> None:
    runs = [segue.start(cli_tasks.squares, 10), segue.start(cli_tasks.stubborn, str(tmp_path))]
    out, _ = finish(spawn("worker", "--pool", pool, "--burst", "--json"))
    banner = json.loads(out)
    assert (banner["pool"], banner["queues"]) == (pool, ["default"])
    assert f"{APP}.square" in banner["tasks"]
    assert [run.result() for run in runs] == [285, "at last"]


def test_a_worker_ends_when_it_has_been_idle_for_so_long(segue: Segue, spawn: Spawn) -> None:
    """It waits for what comes late, and not for timers."""
    late = segue.start(cli_tasks.square.options(delay=3600).s(5))
    worker = spawn("worker", "--pool", "thread", "--max-idle", "1.5s")
    first = segue.start(cli_tasks.square, 2)
    assert first.wait(PATIENCE_SECONDS).result() == 4
    second = segue.start(cli_tasks.square, 3)
    finish(worker)
    assert second.result() == 9
    assert statuses(late) == ["ready"]
    assert segue.workers() == []


def test_a_worker_leaves_other_queues_alone(lone_segue: Segue, lone_spawn: Spawn) -> None:
    run = lone_segue.start(cli_tasks.square, 3)
    _, err = finish(lone_spawn("worker", "--queue", "mail,print", "--queue", "mail", "--burst"))
    assert "mail, print" in err
    assert statuses(run) == ["ready"]


def test_dev_works_and_logs_what_ends(segue: Segue, spawn: Spawn) -> None:
    dev = spawn("dev")
    assert dev.stderr is not None
    seen = read_until(dev.stderr.fileno(), READY)
    started = spawn("start", "squares", "4", "--wait", "--timeout", str(PATIENCE_SECONDS), "--json")
    record = json.loads(finish(started)[0])
    assert (record["status"], record["result"]) == ("succeeded", 14)
    seen += read_until(dev.stderr.fileno(), f"{record['id']} succeeded".encode())
    dev.send_signal(signal.SIGTERM)
    finish(dev)
    assert b"database" in seen
    assert segue.workers() == []


def test_dev_draws_on_a_terminal(lone_segue: Segue, lone_spawn: Spawn, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        run = lone_segue.start(cli_tasks.holding, str(tmp_path), 1)
        dev = lone_spawn("dev", stderr=theirs)
        read_until(ours, "▸".encode())
        (tmp_path / "go").touch()
        run.wait(timeout=PATIENCE_SECONDS)
        read_until(ours, "✓".encode())
        dev.send_signal(signal.SIGINT)
        read_until(ours, b"\x1b[?25h")  # the cursor is back
        finish(dev)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_that_closes_is_a_warm_stop(lone_segue: Segue, lone_spawn: Spawn, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    run = lone_segue.start(cli_tasks.holding, str(tmp_path), 1)
    dev = lone_spawn("dev", stderr=theirs)
    os.close(theirs)
    read_until(ours, "▸".encode())
    wait_for(tmp_path / "begun-0")
    os.close(ours)
    dev.send_signal(signal.SIGHUP)  # the terminal's own goes only to the processes that it controls
    (tmp_path / "go").touch()
    finish(dev)
    assert statuses(run) == ["succeeded"]
    assert lone_segue.workers() == []


def test_show_follows_to_the_end(lone_segue: Segue, lone_spawn: Spawn, tmp_path: Path) -> None:
    run, worker = begin_holding(lone_segue, lone_spawn, tmp_path)
    follower = lone_spawn("show", run.id, "--follow", "--json")
    assert follower.stdout is not None
    first = json.loads(read_until(follower.stdout.fileno(), b"\n").splitlines()[0])
    assert first["run"]["status"] == "running"
    (tmp_path / "go").touch()
    out, _ = finish(follower)
    last = json.loads(out.splitlines()[-1])
    assert last["run"]["counts"] == {StepStatus.SUCCEEDED: 3}
    worker.send_signal(signal.SIGTERM)
    finish(worker)


def test_a_worker_needs_a_module_that_can_be_imported(lone_spawn: Spawn) -> None:
    for words in (("worker",), ("dev",)):
        _, err = finish(lone_spawn(*words, "-A", "no_such_app"), exit_code=2)
        assert "no module 'no_such_app'" in err
        assert "Traceback" not in err


def test_a_worker_that_has_no_database_says_so(lone_spawn: Spawn) -> None:
    url = "postgresql://nobody:secret@127.0.0.1:1/none"
    _, err = finish(lone_spawn("worker", "--database", url, "--patience-seconds", "0"), exit_code=1)
    assert "127.0.0.1" in err
    assert "secret" not in err
    assert "Traceback" not in err


def test_a_reader_that_leaves_early_is_no_error(lone_segue: Segue, lone_spawn: Spawn) -> None:
    run = lone_segue.start(cli_tasks.holding, "/nowhere", 1000)
    show = lone_spawn("show", run.id, "--json")
    assert show.stdout is not None
    assert show.stdout.read(10) == b'{"run":{"i'
    show.stdout.close()
    assert show.stderr is not None
    assert show.stderr.read() == b""
    show.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("closed", ["1>&- 2>&- 0<&-", "1>/dev/full 2>/dev/full"])
def test_output_that_goes_nowhere_is_no_traceback(lone_segue: Segue, sqlite_url: str, closed: str) -> None:
    lone_segue.start(cli_tasks.square, 2)
    environment = os.environ | {"SEGUE_DATABASE_URL": sqlite_url, "SEGUE_APP": APP}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for words in ("worker --burst", "db check --json", "--help"):
        command = f"{sys.executable} -m segue {words} {closed}"
        done = subprocess.run(["sh", "-c", command], env=environment, cwd=ROOT, capture_output=True, timeout=60)
        assert b"Traceback" not in done.stderr + done.stdout
        assert done.returncode in (0, 1)
    assert [run.status for run in lone_segue.runs()] == ["succeeded"]


WAITS = ("result RUN --wait", "result RUN --timeout 1h", "show RUN --follow", "show RUN --follow --json",
         "start square 2 --wait")  # fmt: skip


@pytest.mark.parametrize("command", WAITS)
def test_a_command_that_waits_is_interrupted_with_130(sqlite_url: str, command: str) -> None:
    with Segue(sqlite_url) as segue:
        run = segue.start(cli_tasks.square, 2)
    words = [sys.executable, "-m", "segue", *command.replace("RUN", run.id).split()]
    environment = os.environ | {"SEGUE_DATABASE_URL": sqlite_url, "SEGUE_APP": APP}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_waiting(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert complaint == "" or complaint.startswith("Interrupted. Run ")


def is_waiting(pid: int) -> bool:
    """It has opened the database and sleeps between two looks."""
    return any(name.endswith(".db") for name in open_files(pid)) and " S " in Path(f"/proc/{pid}/stat").read_text()


def open_files(pid: int) -> Iterator[str]:
    """What this process has open at the moment; it opens and closes files while they are listed."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(descriptor.readlink())
