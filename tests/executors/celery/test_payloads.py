"""Long results of Celery tasks lie in the payload store; messages and the result backend have the values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import chain, chord, group

from segue.errors import RunFailedError
from segue.payloads import FilePayloads
from tests.contract.stage import connect
from tests.executors.celery.conftest import Staged

SECONDS = 60
LONG = "x" * 20_000


@pytest.fixture
def files(tmp_path: Path) -> FilePayloads:
    return FilePayloads(tmp_path / "payloads")


@pytest.fixture
def with_payloads(
    files: FilePayloads, database_url: str, own_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Staged]:
    monkeypatch.setenv("SEGUE_PAYLOADS", files.url)
    monkeypatch.setenv("SEGUE_PAYLOAD_THRESHOLD", "10000")
    stage = Staged(own_redis, database_url, tmp_path, lease_seconds=60.0)
    yield stage
    stage.close()


def longest_text(staged: Staged) -> int:
    with connect(staged.project.segue.url) as connection:
        return max(connection.execute("SELECT max(length(result)), max(length(args)) FROM segue_steps").fetchone())


def stored(files: FilePayloads) -> list[Path]:
    return [path for path in files.folder.rglob("*") if path.is_file()]


def test_long_results_in_canvases(with_payloads: Staged, files: FilePayloads) -> None:
    project = with_payloads.project
    with_payloads.worker()
    same, long, other = project.sig("same"), project.sig("same", LONG), {"text": LONG, "day": 7}
    runs = [
        project.segue.start(chain(long, same, long.set(immutable=True))),
        project.segue.start(chord([long, project.sig("same", 1), project.sig("same", other)], same)),
        project.segue.start(group(project.sig("add", LONG, "y"), project.sig("same", 2))),
    ]
    results = [run.wait(timeout=SECONDS).result() for run in runs]
    assert results == [LONG, [LONG, 1, other], [LONG + "y", 2]]
    assert longest_text(with_payloads) < 1000
    assert len(stored(files)) == 4  # the text, the dict, their list, and the longer text
    last = runs[0].steps()[-1]
    assert project.app.AsyncResult(last.handle).get(timeout=SECONDS) == LONG

    known = set(stored(files))
    run = project.segue.start(chain(project.sig("same", "z" * 20_000), project.sig("total")))
    run.wait(timeout=SECONDS)  # a text cannot be summed
    [file] = set(stored(files)) - known
    file.unlink()
    run.retry()
    with pytest.raises(RunFailedError, match=f"PayloadMissingError.*{file.name}"):
        run.wait(timeout=SECONDS).result()
    assert project.segue.engine.broken_invariants() == []
