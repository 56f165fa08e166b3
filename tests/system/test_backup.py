"""A backup that is made while steps run: what had ended is there after a restore, and what ran or waited goes on."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from segue import Segue, chain
from segue.model import RunStatus
from tests.crash import crash_tasks
from tests.crash.worker_processes import WorkerProcesses, eventually
from tests.servers.postgres import find_programs


def copy_of(url: str, folder: Path, make_empty: Callable[[], str]) -> str:
    """The database as the commands of docs/deployment.md save and restore it; returns the URL of the restored one."""
    if url.startswith("sqlite"):
        saved = folder / "saved.db"
        with sqlite3.connect(url.removeprefix("sqlite:///")) as source, sqlite3.connect(saved) as target:
            source.backup(target)  # what `.backup` of the shell does
        return f"sqlite:///{saved}"
    dump, restored = folder / "segue.dump", make_empty()
    programs = find_programs()
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", url], check=True)
    subprocess.run([programs / "pg_restore", "--no-owner", f"--dbname={restored}", dump], check=True)
    return restored


@pytest.mark.both
def test_a_restored_backup_goes_on(
    database_url: str, tmp_path: Path, make_bare_postgres_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(crash_tasks.LEDGER, str(tmp_path / "ledger"))
    gate = tmp_path / "gate"
    with Segue(database_url) as segue, WorkerProcesses(database_url, tmp_path) as processes:
        ended = segue.start(crash_tasks.one)
        worker = processes.start()
        assert ended.wait(timeout=30).result() == 1
        work = chain(crash_tasks.wait_for.s(str(gate)), crash_tasks.add.si(1))
        active = segue.start(work, key="only once")
        eventually(lambda: active.status is RunStatus.RUNNING)
        waiting = segue.start(crash_tasks.add, 2)
        restored_url = copy_of(database_url, tmp_path, make_bare_postgres_url)
        worker.kill()
    gate.touch()
    with Segue(restored_url) as restored, WorkerProcesses(restored_url, tmp_path) as processes:
        assert restored.engine.broken_invariants() == []
        processes.start()
        assert restored.get(ended.id).result() == 1
        assert restored.get(active.id).wait(timeout=60).result() == 2
        assert restored.get(waiting.id).wait(timeout=60).result() == 3
        assert not restored.start(work, key="only once").is_new
        assert restored.engine.broken_invariants() == []
