"""The example project runs as its README says, with real workers, one of which is killed."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest

from segue.errors import RunFailedError
from tests.executors.dramatiq.conftest import wait_until

FOLDER = Path(__file__).parents[3] / "examples" / "dramatiq_media"
SECONDS = 60


class Media:
    """The example's module in this process, and its workers."""

    def __init__(self, module: Any, environment: dict[str, str], log: Path) -> None:
        self.module = module
        self._environment = {**os.environ, **environment}
        self._log = log
        self._workers: list[subprocess.Popen[bytes]] = []

    @property
    def lines(self) -> list[str]:
        """What is in the ledger."""
        ledger: Path = self.module.LEDGER
        return ledger.read_text().splitlines() if ledger.exists() else []

    def work(self) -> None:
        """Start a worker."""
        command = [sys.executable, "-m", "dramatiq", "media", "--processes", "1", "--threads", "4"]
        before = self._log.read_text().count("ready for action") if self._log.exists() else 0
        with self._log.open("ab") as output:
            self._workers.append(subprocess.Popen(
                command, env=self._environment, cwd=FOLDER, stdout=output, stderr=output, start_new_session=True
            ))  # fmt: skip
        end = time.monotonic() + SECONDS
        while self._log.read_text().count("ready for action") == before:
            assert self._workers[-1].poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < end
            time.sleep(0.05)

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self._workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


@pytest.fixture
def media(database_url: str, own_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Media]:
    environment = {
        "MEDIA_REDIS": f"{own_redis}/0", "MEDIA_DATABASE": database_url, "MEDIA_LEDGER": str(tmp_path / "ledger.txt"),
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "media", raising=False)
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    module = importlib.import_module("media")
    module.deploy()
    found = Media(module, environment, tmp_path / "media.log")
    found.work()
    yield found
    found.kill()
    module.broker.close()
    module.segue.close()


def test_a_video_waits_for_a_person_and_goes_on_though_its_worker_dies(media: Media) -> None:
    run = media.module.upload("holiday.mp4")
    assert media.module.upload("holiday.mp4").id == run.id
    wait_until(lambda: [wait.name for wait in media.module.segue.approvals.list()] == ["approved"], SECONDS)
    media.kill()
    run.send("approved", {"ok": True, "by": "bob"})
    media.work()
    assert run.wait(timeout=SECONDS).result() == "published"
    assert media.lines[0] == "holiday.mp4: probed"
    assert sorted(media.lines[1:4]) == ["holiday.mp4: 1280 wide", "holiday.mp4: 1920 wide", "holiday.mp4: 640 wide"]
    assert media.lines[4:] == ["to be looked at: 3 files", "holiday.mp4: published by bob"]
    queues = {step.queue for step in run.steps() if step.executor == "dramatiq"}
    assert queues == {"@dramatiq:default", "@dramatiq:encoding"}


def test_what_is_no_video_fails_at_once_and_is_complained_about_once(media: Media) -> None:
    run = media.module.upload("notes.txt")
    with pytest.raises(RunFailedError, match="BrokenVideoError"):
        run.wait(timeout=SECONDS).result()
    assert run.steps()[0].attempt == 1
    assert media.lines == ["notes.txt: media.BrokenVideoError"]
