"""The wire: what goes in comes out, however the bytes are cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.model import ErrorInfo, Job, Outcome, Progress, Verdict
from segue.worker.pool import wire

OUTCOME = Outcome("run", 3, 1, Verdict.FAILED, error=ErrorInfo("ValueError", "broken"), output="text", seconds=0.5)
PROGRESS = Progress("run", 3, 1, 5, 10, "half")


def job(args: str = "[[],{}]") -> Job:
    return Job("run", 3, 1, "name", "module.task", args, None, {1: "2"}, 4.0, 2)


def test_a_short_job_travels_in_its_message(tmp_path: Path) -> None:
    message = wire.pack_job(job(), str(tmp_path))
    assert wire.unpack_job(message) == job()
    assert list(tmp_path.iterdir()) == []


def test_a_long_job_travels_in_a_file_that_the_reader_deletes(tmp_path: Path) -> None:
    long = job('[["' + "x" * 200_000 + '"],{}]')
    message = wire.pack_job(long, str(tmp_path))
    assert len(message) < 1000
    assert len(list(tmp_path.iterdir())) == 1
    assert wire.unpack_job(memoryview(message)) == long
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mark", [wire.STOP, wire.SPILL])
def test_no_job_looks_like_a_mark(mark: bytes, tmp_path: Path) -> None:
    assert wire.pack_job(job(), str(tmp_path))[0] != mark[0]


@pytest.mark.parametrize("piece", [1, 3, 7, 1000])
def test_frames_are_found_however_the_bytes_are_cut(piece: int) -> None:
    stream = wire.pack_progress(PROGRESS) + wire.pack_retire() + wire.pack_outcome(OUTCOME) * 2
    buffer = bytearray()
    found: list[Outcome | Progress | None] = []
    for start in range(0, len(stream), piece):
        buffer += stream[start : start + piece]
        found += wire.take_frames(buffer)
    assert found == [PROGRESS, None, OUTCOME, OUTCOME]
    assert not buffer
