"""Which run has a key: also when starts race, and beside workers of a release that knows nothing of `segue_keys`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from segue.engine.reopening.fork import fork_run
from tests.contract.stage import Stage, connect, node, plan, succeeded

ONE = plan(node("a"))


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def keys(stage: Stage) -> list[tuple[str, str]]:
    """The keys that are taken, and by which run."""
    with connect(stage.store.url) as connection:
        rows = connection.execute("SELECT key, run_id FROM segue_keys ORDER BY key").fetchall()
    return [(key, str(run_id)) for key, run_id in rows]


def said(stage: Stage, text: str) -> None:
    """What somebody does to the database who does not know the keys."""
    with connect(stage.store.url) as connection:
        connection.execute(text)
        connection.commit()


def fork(stage: Stage, run_id: str, key: str) -> str:
    def knows(*_: Any) -> None:
        return None

    return stage.engine.act(
        fork_run, run_id, new_id=stage.engine.new_id(), step="a", key=key, parameters=knows
    )  # fmt: skip


def test_a_start_without_a_key_writes_none(stage: Stage) -> None:
    stage.start(ONE)
    assert keys(stage) == []


def test_pruning_frees_a_key(stage: Stage) -> None:
    older = stage.start(ONE, key="k")
    assert keys(stage) == [("k", older)]
    stage.turn(*[succeeded(job) for job in stage.claim()])
    stage.advance(60)
    assert stage.engine.prune(older_than=timedelta(0)) == 1
    assert keys(stage) == []
    newer = stage.start(ONE, key="k")
    assert newer != older
    assert keys(stage) == [("k", newer)]


@pytest.mark.parametrize("table", ["segue_keys", "segue_runs"])
def test_what_an_older_release_did_to_a_key_is_made_right(stage: Stage, table: str) -> None:
    """It started a run and wrote no key; or it deleted a run and left its key."""
    older = stage.start(ONE, key="k")
    if table == "segue_runs":
        said(stage, f"DELETE FROM segue_steps WHERE run_id = '{older}'")
        said(stage, f"DELETE FROM segue_runs WHERE id = '{older}'")
    else:
        said(stage, "DELETE FROM segue_keys")
    found = stage.start(ONE, key="k")
    assert (found == older) is (table == "segue_keys")
    assert keys(stage) == [("k", found)]
    assert stage.start(ONE, key="k") == found


@pytest.mark.parametrize("table", ["segue_keys", "segue_runs"])
def test_a_fork_finds_what_an_older_release_did_to_a_key(stage: Stage, table: str) -> None:
    run_id = stage.start(ONE)
    older = fork(stage, run_id, "k")
    if table == "segue_runs":
        said(stage, f"DELETE FROM segue_steps WHERE run_id = '{older}'")
        said(stage, f"DELETE FROM segue_runs WHERE id = '{older}'")
    else:
        said(stage, "DELETE FROM segue_keys")
    found = fork(stage, run_id, "k")
    assert (found == older) is (table == "segue_keys")
    assert keys(stage) == [("k", found)]


def test_starts_and_forks_that_race_for_a_key_agree(stage: Stage) -> None:
    run_id = stage.start(ONE)
    stage.start(ONE, key="warm")
    together = Barrier(6)

    def take(number: int) -> str:
        together.wait()
        return stage.start(ONE, key="k") if number % 2 else fork(stage, run_id, "k")

    with ThreadPoolExecutor(6) as threads:
        found = set(threads.map(take, range(6)))
    assert len(found) == 1
    assert keys(stage)[0] == ("k", found.pop())
