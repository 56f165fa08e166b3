"""Workers of an older release go on beside those of today, on a database that was upgraded while they ran."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segue import Segue

ROOT = Path(__file__).parents[2]
OLDER = "b54a48c456e89bbd01b8f7d4378b150354e41820"
"""The first commit that has the tables under their present names. Migrations after 0004 only add."""

TASKS = """
import os
import segue

@segue.task(queue="older")
def by_older(number: int) -> list:
    return [number, os.environ["RELEASE"]]

@segue.task(queue="today")
def by_today(seen: list) -> list:
    return [*seen, os.environ["RELEASE"]]

@segue.task(queue="older")
def last(seen: list) -> list:
    return [*seen, os.environ["RELEASE"]]

@segue.task(queue="today")
def resting(number: int) -> list:
    number = segue.checkpoint("once", int, number)
    segue.sleep(0.2)
    return [number, segue.wait_for("go", timeout=60), os.environ["RELEASE"]]

@segue.workflow
def rest(number: int):
    return last(resting(number))

@segue.workflow
def relay(number: int):
    return last(by_today(by_older(number)))
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the older release."""
    folder = tmp_path_factory.mktemp("older")
    known = subprocess.run(["git", "cat-file", "-e", f"{OLDER}^{{commit}}"], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip(f"the history of this clone is shallow, or there is none: commit {OLDER[:7]} is not in it")
    archive = subprocess.run(["git", "archive", OLDER, "src"], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder / "src"


class Releases:
    """Two releases of Segue with the same tasks."""

    def __init__(self, older: Path, folder: Path, url: str) -> None:
        (folder / "rolling_tasks.py").write_text(TASKS)
        self._folder, self._url = folder, url
        self._source = {"older": older, "today": ROOT / "src"}

    def command(self, release: str, *words: str) -> str:
        """What a command of a release prints."""
        done = subprocess.run(self._argv(*words), env=self._env(release), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def worker(self, release: str) -> Iterator[None]:
        """A worker of a release, on the queue of its name, which has begun."""
        argv = self._argv("worker", "--pool", "thread", "-c", "2", "--queue", release, "--json")
        with subprocess.Popen(argv, env=self._env(release), stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert '"worker"' in process.stdout.readline()
                yield
                assert process.poll() is None
            finally:
                process.terminate()
                process.wait(30)

    def _argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "segue", *words, "-A", "rolling_tasks", "--database", self._url]

    def _env(self, release: str) -> dict[str, str]:
        path = os.pathsep.join([str(self._source[release]), str(self._folder)])
        return os.environ | {"PYTHONPATH": path, "RELEASE": release}


@pytest.mark.both
def test_runs_pass_between_workers_of_two_releases(
    older: Path, tmp_path: Path, bare_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bare_url()
    releases = Releases(older, tmp_path, url)
    releases.command("older", "db", "upgrade")
    releases.command("older", "start", "relay", "0", "--key", "before")
    with releases.worker("older"):
        with Segue(url) as segue:
            segue.upgrade()  # nothing to do if the older release has the same schema
        monkeypatch.syspath_prepend(str(tmp_path))
        import rolling_tasks

        with releases.worker("today"), Segue(url) as segue:
            found = segue.start(rolling_tasks.relay, 0, key="before")
            assert found.is_new is False
            runs = [found, *(segue.start(rolling_tasks.relay, number, key=str(number)) for number in range(1, 20))]
            for number, run in enumerate(runs):
                assert run.wait(60).result() == [number, "older", "today", "older"]
            assert len(segue.runs()) == 20
            run = segue.start(rolling_tasks.rest, 7)  # the older worker does the chores
            run.send("go", 2)
            assert run.wait(60).result() == [7, 2, "today", "older"]
            assert segue.engine.broken_invariants() == []
            assert segue.engine.broken_invariants() == []
