"""What running attempts print is read while they run, in every pool that can say it, and without their secrets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segue import Run, Segue
from segue.engine.engine import Engine
from segue.worker.launch import make_worker
from segue.worker.options import WorkerOptions
from tests.contract.stage import connect
from tests.system import talking_tasks
from tests.system.talking_tasks import PATIENCE_SECONDS, chatter, talk

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-secret-token"


@pytest.fixture
def lone_segue(sqlite_url: str) -> Iterator[Segue]:
    """For what has nothing to do with the kind of database."""
    with Segue(sqlite_url) as segue:
        yield segue


@contextmanager
def worker(segue: Segue, pool: str = "process") -> Iterator[None]:
    made = make_worker(
        Engine(segue.engine.store), WorkerOptions(concurrency=2, pool=pool), modules=[talking_tasks.__name__]
    )  # fmt: skip
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield
    finally:
        made.stop(at_once=True)
        thread.join()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def running(segue: Segue, run: Run) -> Run:
    until(lambda: run.steps()[0].status == "running")
    return run


def written(segue: Segue) -> list[tuple[object, ...]]:
    with connect(segue.url) as connection:
        return list(connection.execute("SELECT step, attempt, output FROM segue_live_output").fetchall())


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_it_is_read_while_the_attempt_runs(segue: Segue, tmp_path: Path, pool: str) -> None:
    with worker(segue, pool):
        run = running(segue, segue.start(talk, str(tmp_path), TOKEN))
        step = run.step("talk")
        until(lambda: "half" in step.output().text)
        found = step.output()
        assert (found.text, found.is_over, found.step_is_over) == ("first ***\nhalf of it: ", False, False)
        (tmp_path / "more").touch()
        until(lambda: "second" in step.output().text)
        (tmp_path / "go").touch()
        run.wait(timeout=PATIENCE_SECONDS)
        last = step.output()
        assert last.text.splitlines()[0] == "first ***"
        assert last.text.endswith("second\n")
        assert (last.is_over, last.step_is_over) == (True, True)
    assert {series.name: series.attempts for series in segue.statistics(by="task").series} == {talk.name: 1}


def test_nothing_is_written_unless_somebody_reads(segue: Segue, tmp_path: Path) -> None:
    with worker(segue, "thread"):
        run, other = (running(segue, segue.start(talk, str(tmp_path), TOKEN)) for _ in range(2))
        time.sleep(1.2)
        assert written(segue) == []
        run.watch()
        until(lambda: written(segue))
        assert len(written(segue)) == 1
        (tmp_path / "more").touch()
        (tmp_path / "go").touch()
        for each in (run, other):
            each.wait(timeout=PATIENCE_SECONDS)


def test_only_the_end_of_much_is_read(lone_segue: Segue, tmp_path: Path) -> None:
    with worker(lone_segue):
        run = running(lone_segue, lone_segue.start(chatter, str(tmp_path)))
        until(lambda: "line 3999" in run.step(0).output().text)
        lines = run.step(0).output().text.splitlines()
        assert lines[0].startswith("[... ")
        assert lines[1].startswith("line ")
        assert len(run.step(0).output().text) < 17_000
        (tmp_path / "go").touch()
        run.wait(timeout=PATIENCE_SECONDS)


def test_it_is_followed_until_ctrl_c(lone_segue: Segue, tmp_path: Path) -> None:
    with worker(lone_segue):
        run = running(lone_segue, lone_segue.start(talk, str(tmp_path), TOKEN))
        words = ["logs", run.id, "talk", "--follow", "--every", "0.2", "--database", lone_segue.url]
        following = subprocess.Popen(
            [sys.executable, "-m", "segue", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        )  # fmt: skip
        assert following.stdout is not None
        assert following.stdout.readline() == "first ***\n"
        following.send_signal(signal.SIGINT)
        out, err = following.communicate(timeout=PATIENCE_SECONDS)
        assert (following.returncode, "Traceback" in err, "a-secret" in out) == (130, False, False), err
        assert run.steps()[0].status == "running"
        (tmp_path / "more").touch()
        (tmp_path / "go").touch()
        run.wait(timeout=PATIENCE_SECONDS)
