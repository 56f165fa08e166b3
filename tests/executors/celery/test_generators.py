"""Members of chords and groups that come from a generator: they run while it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group

from segue.errors import RunFailedError, RunStateError
from tests.executors.celery.conftest import Project, Staged, wait_until

SECONDS = 40


def slowly(project: Project, path: Path, count: int) -> Iterator[Any]:
    """Members that write a word into a file. The last one is only generated when the first has done so."""
    for number in range(count):
        if number == count - 1:
            wait_until(lambda: path.exists() and path.read_text().startswith("0"), SECONDS)
        yield project.app.tasks["note"].si(str(path), str(number))


@pytest.mark.parametrize("shape", ["chord", "group", "chained body", "group body"])
def test_members_start_while_others_are_still_generated(project: Project, tmp_path: Path, shape: str) -> None:
    same = project.sig("same")
    members = slowly(project, tmp_path / "seen", 5)
    words = ["0", "1", "2", "3", "4"]
    canvas, expected = {
        "chord": lambda: (chord(members, same), words),
        "group": lambda: (group(members), words),
        "chained body": lambda: (chord(members, same | project.sig("add", ["end"])), [*words, "end"]),
        "group body": lambda: (chord(members, group(same, same)), [words, words]),
    }[shape]()
    result = canvas.apply_async()
    assert result.get(timeout=SECONDS) == expected
    [found] = project.segue.runs(limit=1)
    run = project.segue.get(found.id).wait(timeout=SECONDS)
    assert (run.status, run.result()) == ("succeeded", expected)


def test_members_may_be_canvases(project: Project) -> None:
    members = (chain(project.sig("add", number, 1), project.sig("add", 1)) for number in range(4))
    assert chord(members, project.sig("same")).apply_async().get(timeout=SECONDS) == [2, 3, 4, 5]
    members = (
        project.sig("add", number, 1) | group(project.sig("add", 1), project.sig("add", 2)) | project.sig("total")
        for number in range(3)
    )
    assert group(members).apply_async().get(timeout=SECONDS) == [5, 7, 9]


def test_three_hundred_members_of_a_quick_generator_are_added_in_few_parts(project: Project) -> None:
    result = chord((project.sig("add", number, 0) for number in range(300)), project.sig("total")).apply_async()
    assert result.get(timeout=120) == sum(range(300))


def test_a_generator_that_raises_fails_the_run_and_the_caller_sees_it(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    def broken() -> Iterator[Any]:
        yield project.sig("same", 1)
        yield project.sig("same", 2)
        raise ValueError("no more")

    body = project.sig("same").on_error(project.app.tasks["note"].si(str(seen), "errback"))
    with pytest.raises(ValueError, match="no more"):
        chord(broken(), body).apply_async()
    [found] = project.segue.runs(limit=1)
    with pytest.raises(RunFailedError, match="no more"):
        project.segue.get(found.id).wait(timeout=SECONDS).result()
    assert seen.read_text() == "errback\n"


def test_a_run_that_is_cancelled_ends_the_generator(project: Project) -> None:
    consumed: list[int] = []

    def members() -> Iterator[Any]:
        for number in range(1000):
            if number == 3:
                [found] = project.segue.runs(limit=1)
                project.segue.get(found.id).cancel()
            consumed.append(number)
            yield project.sig("same", number)
            time.sleep(0.02)

    with pytest.raises(RunStateError, match="was ended while its tasks were generated"):
        chord(members(), project.sig("same")).apply_async()
    assert len(consumed) < 1000
    [found] = project.segue.runs(limit=1)
    assert project.segue.get(found.id).wait(timeout=SECONDS).status == "cancelled"


def test_a_member_that_fails_fails_the_chord(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    members = (project.sig("fail" if number == 1 else "same", number) for number in range(3))
    body = project.sig("same").on_error(project.app.tasks["note"].si(str(seen), "errback"))
    with pytest.raises(Exception, match="broken"):
        chord(members, body).apply_async().get(timeout=SECONDS)
    wait_until(seen.exists)
    assert seen.read_text() == "errback\n"


def test_a_start_reads_a_generator_to_its_end_first(project: Project) -> None:
    canvas = chord((project.sig("add", number, 0) for number in range(10)), project.sig("total"))
    assert project.segue.start(canvas).wait(timeout=SECONDS).result() == 45


FOREVER = """
import time
from celery import chord
from tests.executors.celery.project import app
def members():
    for number in range(300):
        yield app.tasks["same"].s(number)
        print(number, flush=True)
        time.sleep(0.2)
chord(members(), app.tasks["same"].s()).apply_async()
"""


def test_the_death_of_the_process_that_generates_fails_the_run(impatient: Staged) -> None:
    impatient.worker()
    environment = {
        **os.environ, "PROJECT_BROKER": impatient.broker, "PROJECT_DATABASE": impatient.url,
        "PROJECT_CANVAS": "durable", "PROJECT_LEASE_SECONDS": "2",
    }  # fmt: skip
    caller = subprocess.Popen([sys.executable, "-c", FOREVER], env=environment, stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    while caller.stdout.readline().strip() != "20":  # longer than a lease: it is renewed
        assert caller.poll() is None
    [found] = impatient.project.segue.runs(limit=1)
    run = impatient.project.segue.get(found.id)
    assert run.status == "running"
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    caller.stdout.close()
    begun = time.monotonic()
    with pytest.raises(RunFailedError, match="has ended before its generator did"):
        run.wait(timeout=SECONDS).result()
    assert time.monotonic() - begun < 20
