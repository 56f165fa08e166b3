"""Workers whose threads are greenlets: `dramatiq-gevent`."""

from __future__ import annotations

from pathlib import Path

from segue.executors.dramatiq import Chain, Group
from tests.executors.dramatiq.conftest import Staged, wait_until

PROGRAM = "dramatiq-gevent"


def test_compositions_run_in_greenlets_and_survive_their_process(impatient: Staged, tmp_path: Path) -> None:
    """Also retries, results that are passed on, a cancel of an actor that runs, and more steps than greenlets."""
    project, notes = impatient.project, tmp_path / "notes"
    worker = impatient.worker(threads=8, program=PROGRAM)
    many = Chain(project.message("add", 1), Group(*(project.message("add", number) for number in range(40))))
    assert project.result(many) == list(range(40))
    assert project.result(project.message("flaky", str(tmp_path / "tries"), 2) | project.message("add", 40)) == 42

    run = project.segue.start(project.message("note_and_wait", str(notes), str(tmp_path / "never")))
    wait_until(notes.exists)
    run.cancel()
    assert run.wait(timeout=40).status == "cancelled"

    until = tmp_path / "until"
    run = project.segue.start(
        Chain(project.message("note_and_wait", str(notes), str(until)), project.message("add", 2))
    )
    wait_until(lambda: len(notes.read_text().splitlines()) == 2)
    worker.kill()
    until.touch()
    impatient.worker(threads=8, program=PROGRAM)
    assert run.wait(timeout=60).result() == 2
    assert run.steps()[0].losses == 1
