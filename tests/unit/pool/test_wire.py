"""The wire: what goes in comes out, however the bytes are cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

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


def test_a_long_job_whose_file_is_gone_says_whose_it_was(tmp_path: Path) -> None:
    message = wire.pack_job(job('[["' + "x" * 200_000 + '"],{}]'), str(tmp_path))
    spilled = wire.spilled_in(message)
    assert spilled is not None
    assert (spilled.run_id, spilled.step, spilled.attempt) == ("run", 3, 1)
    spilled.remove()
    spilled.remove()
    with pytest.raises(OSError, match="No such file"):
        wire.unpack_job(message)


@given(before=st.booleans(), garbage=st.binary(min_size=1, max_size=40), piece=st.integers(1, 50))
def test_what_is_no_frame_is_found_at_once_and_nothing_behind_it_is_read(
    before: bool, garbage: bytes, piece: int
) -> None:
    assume(not garbage.startswith(wire.MARK[: len(garbage)]))
    stream = wire.pack_outcome(OUTCOME) * before + garbage
    buffer, found = bytearray(), []
    for start in range(0, len(stream), piece):
        buffer += stream[start : start + piece]
        found += wire.take_frames(buffer, 10_000)
        if found[-1:] == [wire.Sign.GARBLED]:
            break
    assert found == [OUTCOME] * before + [wire.Sign.GARBLED]
    assert not buffer


@pytest.mark.parametrize(
    "frame",
    [
        wire.FRAME.pack(wire.MARK, 10_001, wire.OUTCOME),
        wire.FRAME.pack(wire.MARK, 3, 7) + b"abc",
        wire.FRAME.pack(wire.MARK, 3, wire.OUTCOME) + b"abc",
        wire.FRAME.pack(wire.MARK, 3, wire.PROGRESS) + b"\xc1\xc1\xc1",
        wire.pack_outcome(Outcome("run", 3, 1, "no verdict")),
    ],
)
def test_a_frame_that_means_nothing_is_garbled(frame: bytes) -> None:
    buffer = bytearray(wire.pack_progress(PROGRESS) + frame + wire.pack_outcome(OUTCOME))
    assert wire.take_frames(buffer, 10_000) == [PROGRESS, wire.Sign.GARBLED]
    assert not buffer


@pytest.mark.parametrize("piece", [1, 3, 7, 1000])
def test_frames_are_found_however_the_bytes_are_cut(piece: int) -> None:
    stream = wire.pack_progress(PROGRESS) + wire.pack_retire() + wire.pack_outcome(OUTCOME) * 2
    buffer = bytearray()
    found: list[Outcome | Progress | wire.Sign] = []
    for start in range(0, len(stream), piece):
        buffer += stream[start : start + piece]
        found += wire.take_frames(buffer, 10_000)
    assert found == [PROGRESS, wire.Sign.RETIRE, OUTCOME, OUTCOME]
    assert not buffer
