"""How jobs and news travel between a worker and a child process.

A job is one message on a socket that keeps messages apart: its MessagePack, or, when that is too long for a message,
`SPILL` and the path of a file that holds it and that the reader deletes. `STOP` tells the child to end.

News comes back on a pipe as frames: four bytes length, one byte kind, MessagePack.
"""

from __future__ import annotations

import os
import socket
import struct
import tempfile

import msgspec

from segue.model import Job, Outcome, Progress

MESSAGE_KIND = (
    getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM) if os.uname().sysname != "Darwin" else socket.SOCK_DGRAM
)
LARGEST_MESSAGE_BYTES = 60_000

# Neither byte begins the MessagePack of a Job, which is an array.
STOP = b"\xc1"
SPILL = b"\xc3"

FRAME = struct.Struct("<IB")
OUTCOME, PROGRESS, RETIRE = 0, 1, 2  # kinds of frames

_encode = msgspec.msgpack.Encoder().encode
_decode_job = msgspec.msgpack.Decoder(Job).decode
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
_decode_progress = msgspec.msgpack.Decoder(Progress).decode


def pack_job(job: Job, spill_folder: str) -> bytes:
    """One message that carries `job`; a long one leaves a file in `spill_folder`."""
    message = _encode(job)
    if len(message) <= LARGEST_MESSAGE_BYTES:
        return message
    descriptor, path = tempfile.mkstemp(dir=spill_folder, prefix="job-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(message)
    return SPILL + os.fsencode(path)


def unpack_job(message: bytes | bytearray | memoryview) -> Job:
    """The job in a message; the file of a long one is deleted."""
    if message[0] != SPILL[0]:
        return _decode_job(message)
    path = os.fsdecode(bytes(message[1:]))
    with open(path, "rb") as file:
        job = _decode_job(file.read())
    os.unlink(path)
    return job


def pack_outcome(outcome: Outcome) -> bytes:
    """The frame of an outcome."""
    body = _encode(outcome)
    return FRAME.pack(len(body), OUTCOME) + body


def pack_progress(progress: Progress) -> bytes:
    """The frame of a progress report."""
    body = _encode(progress)
    return FRAME.pack(len(body), PROGRESS) + body


def pack_retire() -> bytes:
    """The frame by which a child asks to be replaced."""
    return FRAME.pack(0, RETIRE)


def take_frames(buffer: bytearray) -> list[Outcome | Progress | None]:
    """Cut the complete frames off the front of `buffer`; None stands for a child that asks to be replaced."""
    found: list[Outcome | Progress | None] = []
    start, end, header = 0, len(buffer), FRAME.size
    with memoryview(buffer) as view:
        while end - start >= header:
            length, kind = FRAME.unpack_from(buffer, start)
            stop = start + header + length
            if stop > end:
                break
            with view[start + header : stop] as body:
                if kind == OUTCOME:
                    found.append(_decode_outcome(body))
                elif kind == PROGRESS:
                    found.append(_decode_progress(body))
                else:
                    found.append(None)
            start = stop
    del buffer[:start]
    return found
