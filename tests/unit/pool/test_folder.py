"""The folder of a pool: what a dead worker left is removed, what a living one has is not."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from segue.errors import WorkerError
from segue.model import Job
from segue.worker.pool import folder, wire
from segue.worker.pool.capture import open_capture
from segue.worker.pool.folder import LOCK, PREFIX, PoolFolder


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_dead_worker_left_is_removed_and_what_a_living_one_has_is_not(parent: Path) -> None:
    living = PoolFolder()
    dead = parent / f"{PREFIX}dead"
    (dead / "jobs").mkdir(parents=True)
    (dead / LOCK).touch()  # nobody holds it
    other = parent / "segue-else"
    other.mkdir()
    another = PoolFolder()
    assert not dead.exists()
    assert Path(living.path).exists()
    assert other.exists()
    living.remove()
    living.remove()
    assert not Path(living.path).exists()
    assert Path(another.path).exists()
    another.remove()


def test_a_folder_without_a_lock_may_be_just_being_made(parent: Path) -> None:
    young, old, full = (parent / f"{PREFIX}{name}" for name in ("young", "old", "full"))
    for made in (young, old, full):
        made.mkdir()
    (full / "job").touch()
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    os.utime(full, (long_ago, long_ago))
    folder.remove_forgotten(str(parent))
    assert [young.exists(), old.exists(), full.exists()] == [True, False, True]


def test_a_link_is_left_alone(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / LOCK).touch()
    (parent / f"{PREFIX}link").symlink_to(elsewhere)
    folder.remove_forgotten(str(parent))
    assert (elsewhere / LOCK).exists()


def test_a_folder_that_was_cleaned_away_is_made_again(parent: Path) -> None:
    away = str(parent / "away")
    os.close(open_capture(away))
    Path(away).rmdir()
    long = Job("run", 3, 1, "n", "t", '[["' + "x" * 200_000 + '"],{}]', None, {}, None)
    assert wire.unpack_job(wire.pack_job(long, away)) == long


def test_without_any_folder_a_pool_says_what_it_needs(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(parent / "not there"))
    with pytest.raises(WorkerError, match="TMPDIR"):
        PoolFolder()


def test_output_is_kept_where_no_file_can_be_made(parent: Path) -> None:
    (parent / "file").touch()
    descriptor = open_capture(str(parent / "file"))
    os.write(descriptor, b"one")
    os.ftruncate(descriptor, 0)
    os.write(descriptor, b"two")
    assert os.pread(descriptor, 10, 0) == b"two"  # it is appended to, as a file is
    os.close(descriptor)
