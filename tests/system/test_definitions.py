"""A worker writes down what its code defines, and starts where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from segue import Segue
from segue.scheduler.chores import Chores
from tests.contract.stage import connect
from tests.system import cli_tasks
from tests.system.pool_driving import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]


def burst(url: str) -> subprocess.CompletedProcess[str]:
    """A worker process that works until nothing is left."""
    words = [sys.executable, "-m", "segue", "worker", "-A", cli_tasks.__name__, "-c", "1", "--burst"]
    return subprocess.run(
        words, env=os.environ | {"SEGUE_DATABASE_URL": url}, cwd=ROOT, capture_output=True, text=True,
        timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip


def test_workers_of_the_same_code_write_it_once(database_url: str) -> None:
    with Segue(database_url) as segue:
        assert [burst(database_url).returncode for _ in range(2)] == [0, 0]
        found = {each.name: each for each in segue.definitions()}
        assert {each.version for each in found.values()} == {found["tests.system.cli_tasks.square"].version}
        assert found["tests.system.cli_tasks.square"].module == "tests.system.cli_tasks"
        with connect(database_url) as connection:
            rows = connection.execute(
                "SELECT v.version, w.code_version FROM segue_code_versions v CROSS JOIN segue_workers w"
            )
            assert [version == code_version for version, code_version in rows.fetchall()] == [True, True]


def test_a_worker_starts_and_works_where_its_code_cannot_be_written_down(database_url: str) -> None:
    with Segue(database_url) as segue:
        run = segue.start(cli_tasks.square, 4)
        with connect(database_url) as connection:
            connection.execute("DROP TABLE segue_definitions")
            connection.commit()
        worker = burst(database_url)
        assert worker.returncode == 0, worker.stderr
        assert "the definitions in the code could not be stored" in worker.stderr
        assert run.result() == 16


def test_a_process_that_does_the_chores_says_which_code_it_has(database_url: str) -> None:
    with Segue(database_url) as segue:
        Chores(segue.engine).do_round()
        assert "tests.system.cli_tasks.square" in {each.name for each in segue.definitions()}
