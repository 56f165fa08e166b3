"""The file of a SQLite database: found where it was, made for its owner alone, and missed when it is taken away."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from segue import Run, Segue, task
from segue.engine.transactional import TaskTransactions
from segue.errors import RunNotFoundError, StoreError, StoreUnavailableError
from segue.store import open_store
from tests.contract.lending import ATTEMPT
from tests.contract.stage import Stage, node, plan, succeeded

ONE = plan(node("a"))


@task
def nothing() -> None: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "segue.db"


@pytest.fixture(params=["changed just now", "changed long ago"])
def own(path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """In a folder that was left alone for long, it stands for the files in it."""
    stage = Stage(f"sqlite:///{path}")
    with stage.store.transaction():
        pass
    if request.param == "changed long ago":
        let_it_seem_old(path.parent)
    with stage.store.transaction():
        pass
    yield stage
    stage.close()


def let_it_seem_old(folder: Path) -> None:
    os.utime(folder, (1_000_000_000, 1_000_000_000))


def beside(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]


def runs_in(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        found = [row[0] for row in connection.execute("SELECT id FROM segue_runs ORDER BY id").fetchall()]
    connection.close()
    return found


def away(path: Path, folder: Path) -> None:
    folder.mkdir()
    for file in beside(path):
        if file.exists():
            file.rename(folder / file.name)


def removed(path: Path, _: Path) -> None:
    for file in beside(path):
        file.unlink(missing_ok=True)


def removed_alone(path: Path, _: Path) -> None:
    path.unlink()


# Where it is ----------------------------------------------------------------------------------------------------------


def test_a_relative_path_means_what_it_meant_when_the_object_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    segue = Segue("sqlite:///segue.db")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    run = segue.start(nothing)
    assert Segue(segue.url).get(run.id).status == "pending"
    assert not (tmp_path / "other" / "segue.db").exists()
    segue.close()


# Whose it is ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o277])
def test_a_new_file_is_its_owners_alone(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = open_store(f"sqlite:///{path}")
        with store.transaction() as tx:
            tx.later("wake")
    finally:
        os.umask(before)
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in beside(path)} == {
        file.name: 0o600 for file in beside(path)
    }
    store.close()


def test_a_file_that_is_there_keeps_its_mode(path: Path) -> None:
    path.touch()
    path.chmod(0o660)
    store = open_store(f"sqlite:///{path}")
    with store.transaction() as tx:
        tx.later("wake")
    assert [stat.S_IMODE(file.stat().st_mode) for file in beside(path)] == [0o660] * 3
    store.close()


def test_a_link_to_a_file_that_is_not_there_makes_that_file(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "real.db")
    store = open_store(f"sqlite:///{path}")
    store.upgrade()
    store.close()
    assert stat.S_IMODE((tmp_path / "real.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("what", ["folder", "file as folder"])
def test_what_cannot_be_a_file_is_said(path: Path, what: str) -> None:
    if what == "folder":
        path.mkdir()
        where, why = path, "it is a folder"
    else:
        path.touch()
        where, why = path / "x.db", "is not a folder"
    with pytest.raises(StoreError, match=why):
        open_store(f"sqlite:///{where}").upgrade()


# When it is taken away ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("take", [away, removed, removed_alone])
def test_nothing_is_written_into_a_file_that_is_gone(
    own: Stage, path: Path, tmp_path: Path, take: Callable[[Path, Path], None]
) -> None:
    own.start(ONE)
    take(path, tmp_path / "away")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="was removed while it was in use"):
            own.start(ONE)
        with pytest.raises(StoreUnavailableError, match="was removed"), own.engine.reading() as tx:
            tx.all("count_runs")
    assert not path.exists()


def test_a_file_that_is_back_is_used_again(own: Stage, path: Path, tmp_path: Path) -> None:
    first = own.start(ONE)
    away(path, tmp_path / "away")
    with pytest.raises(StoreUnavailableError):
        own.start(ONE)
    for file in (tmp_path / "away").iterdir():
        file.rename(tmp_path / file.name)
    second = own.start(ONE)
    assert runs_in(path) == [first, second]


@pytest.mark.parametrize("has_tables", [True, False])
def test_a_file_in_its_place_is_used_from_then_on(own: Stage, path: Path, tmp_path: Path, has_tables: bool) -> None:
    own.start(ONE)
    removed(path, tmp_path)
    if has_tables:
        other = open_store(f"sqlite:///{tmp_path}/other.db")
        other.upgrade()
        other.close()
        (tmp_path / "other.db").replace(path)
    else:
        path.touch()
    with pytest.raises(StoreUnavailableError, match="replaced by another file"), own.engine.reading() as tx:
        tx.all("count_runs")
    assert [own.start(ONE)] == runs_in(path)


def test_an_act_goes_through_on_the_file_in_its_place(own: Stage, path: Path, tmp_path: Path) -> None:
    """The repetitions of an act take it over the moment at which the file is missed."""
    own.start(ONE)
    removed(path, tmp_path)
    path.touch()
    assert [own.start(ONE)] == runs_in(path)


def test_a_start_that_was_committed_into_a_file_that_is_gone_is_no_start(own: Stage, path: Path) -> None:
    own.start(ONE)
    with pytest.raises(StoreUnavailableError, match="removed"), own.store.transaction():
        removed(path, path)


def test_a_file_that_a_link_leads_to_is_missed_as_soon(path: Path, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere" / "data.db"
    there.parent.mkdir()
    path.symlink_to(there)
    stage = Stage(f"sqlite:///{path}")
    stage.start(ONE)
    let_it_seem_old(path.parent)
    stage.turn()
    there.unlink()
    with pytest.raises(StoreUnavailableError):
        stage.start(ONE)
    stage.close()


def test_a_log_of_the_file_before_is_not_taken_for_the_new_files(own: Stage, path: Path, tmp_path: Path) -> None:
    own.start(ONE)
    other = open_store(f"sqlite:///{tmp_path}/other.db")
    other.upgrade()
    other.close()
    (tmp_path / "other.db").replace(path)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="-wal beside it still belongs to the old file"):
            own.start(ONE)
    for file in beside(path)[1:]:
        file.unlink()
    assert [own.start(ONE)] == runs_in(path)


@pytest.mark.parametrize("ends", [("-wal",), ("-shm",), ("-wal", "-shm")], ids="+".join)
def test_a_start_goes_where_a_process_that_comes_later_finds_it(own: Stage, path: Path, ends: tuple[str, ...]) -> None:
    """What is beside the file belongs to it: two processes with two logs would each undo what the other wrote."""
    with ThreadPoolExecutor(2) as threads:
        ids = [own.start(ONE), *threads.map(lambda _: own.start(ONE), range(4))]
        for end in ends:
            path.with_name(path.name + end).unlink()
        for _ in range(3):
            with suppress(StoreUnavailableError):
                ids.append(own.start(ONE))
            assert sorted(ids) == runs_in(path)
        ids += threads.map(lambda _: own.start(ONE), range(4))
    assert sorted(ids) == runs_in(path)
    assert own.is_sound()


def test_a_log_that_goes_in_the_middle_of_a_transaction(own: Stage, path: Path) -> None:
    own.start(ONE)
    with pytest.raises(StoreUnavailableError, match=r"-wal or .*-shm was removed"), own.store.transaction():
        path.with_name(f"{path.name}-wal").unlink()
    assert own.start(ONE) in runs_in(path)


def test_the_waker_notices(own: Stage, path: Path) -> None:
    own.start(ONE)
    waker = own.store.waker()
    assert not waker.woken()
    removed(path, path)
    with pytest.raises(StoreUnavailableError, match="removed"):
        waker.woken()
    with pytest.raises(StoreUnavailableError):
        waker.woken()
    waker.close()


def test_a_transactional_task_writes_nothing_into_a_file_that_is_gone(own: Stage, path: Path) -> None:
    own.start(ONE)
    [job] = own.claim()
    transactions = TaskTransactions(lambda: own.store)
    transaction = transactions.begin(ATTEMPT)
    removed(path, path)
    with pytest.raises(StoreUnavailableError, match="removed"):
        transaction.record(succeeded(job))
    assert not path.exists()
    transactions.close()


def test_a_new_object_begins_with_a_new_file_where_one_was_removed(path: Path) -> None:
    """As in a notebook: the file is deleted, and the cell that makes the object is run again."""
    segue = Segue(f"sqlite:///{path}")
    old = segue.start(nothing)
    removed(path, path)
    segue = Segue(f"sqlite:///{path}")
    assert [segue.start(nothing).id] == runs_in(path)
    assert not _exists(segue, old)
    segue.close()


def _exists(segue: Segue, run: Run) -> bool:
    try:
        return bool(segue.get(run.id))
    except RunNotFoundError:
        return False


def test_a_copy_that_is_put_back_is_used(own: Stage, path: Path, tmp_path: Path) -> None:
    first = own.start(ONE)
    own.store.close()
    shutil.copy(path, tmp_path / "copy.db")
    own.start(ONE)
    removed(path, path)
    shutil.copy(tmp_path / "copy.db", path)
    second = own.start(ONE)
    assert runs_in(path) == [first, second]
