"""`segue dev` loads code that changes, after running steps have finished; code that cannot be imported ends nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segue import Segue

PATIENCE_SECONDS = 60
CODE = """
import time
from pathlib import Path
from segue import task
from shop_words import WORD

@task
def say() -> str:
    return WORD + "{mark}"

@task
def hold() -> str:
    Path("begun").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    return WORD
"""


class Dev:
    """`segue dev` on a folder with two modules."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.write(mark="1")
        (folder / "shop_words.py").write_text("WORD = 'old'\n")
        self.log = folder / "log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SEGUE_")}
        words = [sys.executable, "-m", "segue", "dev", "-A", "shop_code", "-c", "1", "--database", url]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
        self.wait_for("ready")

    def write(self, *, mark: str) -> None:
        (self.folder / "shop_code.py").write_text(CODE.format(mark=mark))

    def wait_for(self, text: str, *, times: int = 1) -> str:
        self.until(lambda: self.log.read_text().count(text) >= times)
        return self.log.read_text()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture
def dev(tmp_path: Path, sqlite_url: str) -> Iterator[Dev]:
    found = Dev(tmp_path, sqlite_url)
    yield found
    found.process.kill()
    found.process.wait()


@pytest.fixture
def segue(sqlite_url: str) -> Iterator[Segue]:
    with Segue(sqlite_url) as found:
        yield found


def start(segue: Segue, dev: Dev, name: str) -> str:
    words = [sys.executable, "-m", "segue", "start", "-A", "shop_code", name, "--database", segue.url]
    done = subprocess.run(words, cwd=dev.folder, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()[1]


def test_changed_code_is_loaded_when_running_steps_have_finished(dev: Dev, segue: Segue) -> None:
    held = start(segue, dev, "hold")
    dev.until((dev.folder / "begun").exists)
    (dev.folder / "shop_words.py").write_text("WORD = 'newer'\n")  # a module that the named one imports
    dev.wait_for("shop_words.py changed: running steps finish")
    (dev.folder / "go").touch()
    dev.wait_for("ready", times=2)
    assert segue.get(held).wait(PATIENCE_SECONDS).result() == "old"
    said = segue.get(start(segue, dev, "say")).wait(PATIENCE_SECONDS)
    assert said.result() == "newer1"
    assert [attempt.status for attempt in segue.get(held).attempts()] == []  # it was not tried twice
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(PATIENCE_SECONDS) == 0
    assert segue.workers() == []


def test_code_that_cannot_be_imported_ends_nothing(dev: Dev, segue: Segue) -> None:
    run_id = start(segue, dev, "say")
    (dev.folder / "shop_code.py").write_text("def broken(:\n")
    log = dev.wait_for("the old code continues until this is mended")
    assert "SyntaxError" in log
    assert segue.get(run_id).wait(PATIENCE_SECONDS).result() == "old1"
    dev.write(mark="2")
    dev.wait_for("ready", times=2)
    said = segue.get(start(segue, dev, "say")).wait(PATIENCE_SECONDS)
    assert said.result() == "old2"
    dev.process.send_signal(signal.SIGTERM)
    assert dev.process.wait(PATIENCE_SECONDS) == 0
