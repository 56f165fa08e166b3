"""A run is mended and retried from the command line, beside workers that are processes."""

from __future__ import annotations

import json
from pathlib import Path

from segue import Segue
from segue.model import RunStatus
from tests.system import cli_tasks
from tests.system.test_cli_processes import Spawn, spawning

PATIENCE_SECONDS = cli_tasks.PATIENCE_SECONDS


def said(spawn: Spawn, *words: str) -> object:
    """What `segue ... --json` prints."""
    out, problems = spawn(*words, "--json").communicate(timeout=PATIENCE_SECONDS)
    assert problems == b"", problems
    return json.loads(out)


def test_a_run_is_mended_while_a_worker_waits(sqlite_url: str, tmp_path: Path) -> None:
    with Segue(sqlite_url) as segue, spawning(sqlite_url) as spawn:
        spawn("worker", "--pool", "thread", "-c", "2")
        run = segue.start(cli_tasks.stubborn, str(tmp_path / "nowhere"))
        assert run.wait(timeout=PATIENCE_SECONDS).status is RunStatus.FAILED
        said(spawn, "edit", run.id, "third_time", str(tmp_path))
        [record] = said(spawn, "retry", run.id, "--reason", "the folder was wrong")  # type: ignore[misc]
        assert record["changed"]
        assert run.wait(timeout=PATIENCE_SECONDS).result() == "at last"
        squares = segue.start(cli_tasks.squares, 4)
        assert squares.wait(timeout=PATIENCE_SECONDS).result() == 14
        forked = said(spawn, "fork", squares.id, "square[3]", "10", "--key", "ten")
        other = segue.get(forked["id"])  # type: ignore[index]
        assert other.wait(timeout=PATIENCE_SECONDS).result() == 105
        assert (squares.result(), segue.engine.broken_invariants()) == (14, [])
