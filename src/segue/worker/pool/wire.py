"""How jobs and news travel between a worker and a child process.

A job is one message on a socket that keeps messages apart: its MessagePack, or, if that is too long for a message,
`SPILL` and a `Spilled`: the path of a file that contains it, and that the reader deletes. `STOP` asks the child to end.

News comes back on a pipe as frames: a mark, four bytes length, one byte kind, MessagePack. A task can write to the
pipe, too, so the worker trusts nothing: an invalid frame is `Sign.GARBLED`, and everything after it is ignored.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import tempfile
from collections.abc import Callable
from enum import Enum

import msgspec

from segue.logs.forwarding import LogLine
from segue.model import Job, Outcome, Progress, Verdict
from segue.worker.pool.folder import make_again

MESSAGE_KIND = (
    getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM) if os.uname().sysname != "Darwin" else socket.SOCK_DGRAM
)
LARGEST_MESSAGE_BYTES = 60_000

# Neither byte begins the MessagePack of a Job, which is an array.
STOP = b"\xc1"
SPILL = b"\xc3"

FRAME = struct.Struct("<2sIB")
MARK = b"\xf5\xe9"
OUTCOME, PROGRESS, RETIRE, LOG = 0, 1, 2, 3  # kinds of frames

_VERDICTS = frozenset(Verdict)
_ROOM_BYTES = 2**20  # in a frame, for everything except the result

_encode = msgspec.msgpack.Encoder().encode
_decode_job = msgspec.msgpack.Decoder(Job).decode
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
_decode_progress = msgspec.msgpack.Decoder(Progress).decode
_decode_log = msgspec.msgpack.Decoder(LogLine).decode


class Sign(Enum):
    """What a child sends besides outcomes and progress."""

    RETIRE = 0  # it asks to be replaced
    GARBLED = 1  # it wrote an invalid frame


class Spilled(msgspec.Struct, array_like=True):
    """The location of the MessagePack of a long job."""

    run_id: str
    step: int
    attempt: int
    path: bytes

    def remove(self) -> None:
        """Delete the file if it exists."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)


Frame = Outcome | Progress | Sign | LogLine
_decode_spilled = msgspec.msgpack.Decoder(Spilled).decode


def pack_job(job: Job, spill_folder: str) -> bytes:
    """One message that carries `job`; a long job leaves a file in `spill_folder`. Raises OSError if that fails."""
    message = _encode(job)
    if len(message) <= LARGEST_MESSAGE_BYTES:
        return message
    try:
        descriptor, path = tempfile.mkstemp(dir=spill_folder, prefix="job-")
    except FileNotFoundError:
        make_again(spill_folder)
        descriptor, path = tempfile.mkstemp(dir=spill_folder, prefix="job-")
    spilled = Spilled(job.run_id, job.step, job.attempt, os.fsencode(path))
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(message)
    except BaseException:
        spilled.remove()
        raise
    return SPILL + _encode(spilled)


def spilled_in(message: bytes | bytearray | memoryview) -> Spilled | None:
    """The file that a message refers to; None if the message contains the job itself."""
    return _decode_spilled(message[1:]) if message[0] == SPILL[0] else None


def unpack_job(message: bytes | bytearray | memoryview) -> Job:
    """The job in a message; the file of a long job is deleted. Raises OSError if the file is gone."""
    spilled = spilled_in(message)
    if spilled is None:
        return _decode_job(message)
    with open(spilled.path, "rb") as file:
        job = _decode_job(file.read())
    spilled.remove()
    return job


def pack_outcome(outcome: Outcome) -> bytes:
    """The frame of an outcome."""
    body = _encode(outcome)
    return FRAME.pack(MARK, len(body), OUTCOME) + body


def pack_progress(progress: Progress) -> bytes:
    """The frame of a progress report."""
    body = _encode(progress)
    return FRAME.pack(MARK, len(body), PROGRESS) + body


def pack_log(line: LogLine) -> bytes:
    """The frame of a log record."""
    body = _encode(line)
    return FRAME.pack(MARK, len(body), LOG) + body


def pack_retire() -> bytes:
    """The frame by which a child asks to be replaced."""
    return FRAME.pack(MARK, 0, RETIRE)


def largest_frame_bytes(result_limit_bytes: int) -> int:
    """The longest valid frame: a result is limited in characters, of up to four bytes each."""
    return 4 * result_limit_bytes + _ROOM_BYTES


def take_frames(buffer: bytearray, largest_bytes: int) -> list[Frame]:
    """Cut the complete frames off the front of `buffer`. `GARBLED` is always the last; the rest is then dropped."""
    found: list[Frame] = []
    start, end, header = 0, len(buffer), FRAME.size
    with memoryview(buffer) as view:
        try:
            while end - start >= header:
                mark, length, kind = FRAME.unpack_from(buffer, start)
                stop = start + header + length
                if mark != MARK or length > largest_bytes:
                    raise ValueError
                if stop > end:
                    break
                with view[start + header : stop] as body:
                    found.append(_decoders[kind](body))
                start = stop
            if start < end and not buffer.startswith(MARK[: end - start], start):
                raise ValueError  # not the beginning of a frame: do not wait for the rest
        except (msgspec.MsgspecError, ValueError, IndexError, RecursionError):
            found.append(Sign.GARBLED)
            start = end
    del buffer[:start]
    return found


def _checked_outcome(body: memoryview) -> Outcome:
    outcome = _decode_outcome(body)
    if outcome.verdict not in _VERDICTS:
        raise ValueError(outcome.verdict)
    return outcome


def _retire(_: memoryview) -> Sign:
    return Sign.RETIRE


_decoders: tuple[Callable[[memoryview], Frame], ...] = (_checked_outcome, _decode_progress, _retire, _decode_log)
