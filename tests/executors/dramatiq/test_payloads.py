"""Long results of Dramatiq's actors lie in the payload store; messages and the result backend have the values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segue.errors import RunFailedError
from segue.executors.dramatiq import Chain, Group, flow, step
from segue.payloads import FilePayloads
from tests.contract.stage import connect
from tests.executors.dramatiq.conftest import Staged, a_project

SECONDS = 60
LONG = "x" * 20_000


@pytest.fixture
def files(tmp_path: Path) -> FilePayloads:
    return FilePayloads(tmp_path / "payloads")


@pytest.fixture
def staged(
    files: FilePayloads, database_url: str, own_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Staged]:
    monkeypatch.setenv("SEGUE_PAYLOADS", files.url)
    monkeypatch.setenv("SEGUE_PAYLOAD_THRESHOLD", "10000")
    with a_project(f"{own_redis}/0", database_url) as project:
        stage = Staged(f"{own_redis}/0", database_url, tmp_path, project, lease_seconds=60.0)
        yield stage
        stage.close()


def stored(files: FilePayloads) -> set[Path]:
    return {path for path in files.folder.rglob("*") if path.is_file()}


def longest_result(staged: Staged) -> int:
    with connect(staged.project.segue.url) as connection:
        [longest] = connection.execute("SELECT max(length(result)) FROM segue_steps").fetchone()
    return int(longest)


def test_long_results_go_from_actor_to_actor(staged: Staged, files: FilePayloads) -> None:
    project, other = staged.project, {"text": LONG, "day": 7}
    staged.worker()
    message: Any = project.message
    runs = [
        project.segue.start(message("same", LONG) | message("same") | message("same")),
        project.segue.start(
            flow(Chain(Group(message("same", LONG), message("same", 1), message("same", other)), message("same")),
                 pass_results=True)
        ),
        project.segue.start(Group(step(message("same", LONG + "y")), message("same", 2))),
    ]  # fmt: skip
    results = [run.wait(timeout=SECONDS).result() for run in runs]
    assert results == [LONG, [LONG, 1, other], [LONG + "y", 2]]
    assert longest_result(staged) < 1000
    assert len(stored(files)) == 4  # the text, the dict, their list, and the longer text


def test_a_payload_that_is_gone_fails_the_step_that_needs_it(staged: Staged, files: FilePayloads) -> None:
    project = staged.project
    staged.worker()
    run = project.segue.start(project.message("same", LONG) | project.message("fail"))
    run.wait(timeout=SECONDS)
    [file] = stored(files)
    file.unlink()
    run.retry()
    with pytest.raises(RunFailedError, match=f"PayloadMissingError.*{file.name}"):
        run.wait(timeout=SECONDS).result()
    assert project.segue.engine.broken_invariants() == []
