"""The spool: folders on a shared file system, through which an attempt gets its job and leaves its outcome.

One folder for each push, under its name; that of a push in a batch lies in the folder of the batch, where the jobs of
all are in lists (attempt/spool_lists.py). It holds

    job.json       the attempt with its arguments, and the modules that define its task
    begun          which process began it; made once, so of two the second does not run
    outcome.json   how it ended; written under another name, forced to the disk, and then renamed
    output         what it printed, if the platform writes it there
    exit_code      how a command ended, which runs without Segue
    result         what a command wrote as its result

Promise: `outcome.json` is there completely or not at all, and does not change.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from segue.attempt.spool_lists import read_part
from segue.model import Job, Outcome

JOB, BEGUN, OUTCOME, OUTPUT = "job.json", "begun", "outcome.json", "output"
EXIT_CODE, RESULT = "exit_code", "result"
NOT_MINE = 82
"""The exit code of a process that found its attempt begun by another one."""

NOT_REPORTED = 83
"""The exit code of a process that ran its attempt, and could not report how it ended."""

TAIL_BYTES = 16_384
RESULT_BYTES = 16 * 2**20


class Spooled(msgspec.Struct, frozen=True):
    """What a process needs to run an attempt."""

    job: Job
    modules: tuple[str, ...] = ()


_job_decoder = msgspec.json.Decoder(Spooled)
_outcome_decoder = msgspec.json.Decoder(Outcome)


def write_job(folder: Path, spooled: Spooled) -> None:
    """Write the job of an attempt; once more is the same. Only this user may read it. Raises OSError."""
    make_folder(folder)
    _write(folder / JOB, msgspec.json.encode(spooled))


def make_folder(folder: Path) -> None:
    """Make the folder of an attempt, which only this user may read. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def read_job(folder: Path) -> Spooled:
    """Raises OSError, or ValueError if the file is damaged."""
    try:
        content = (folder / JOB).read_bytes()
    except FileNotFoundError:
        if not folder.name.isdecimal():
            raise
        content = read_part(folder.parent, folder.name)
    return _job_decoder.decode(content)


def encoded(spooled: Spooled) -> bytes:
    """A job as it stands in a list."""
    return msgspec.json.encode(spooled)


def begin(folder: Path, who: str) -> bool:
    """Say that this process runs the attempt. False if another one does, or did."""
    try:
        descriptor = os.open(folder / BEGUN, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(who)
        file.flush()
        os.fsync(file.fileno())
    return True


def begun_by(folder: Path) -> str | None:
    """Who runs the attempt, or ran it; None if no process has begun."""
    try:
        return (folder / BEGUN).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Leave the outcome. Raises OSError."""
    _write(folder / OUTCOME, msgspec.json.encode(outcome))


def read_outcome(folder: Path) -> Outcome | None:
    """The outcome, if there is one. Raises OSError, or ValueError if the file is damaged."""
    with suppress(OSError):
        os.listdir(folder)  # noqa: PTH208 - so that a network file system asks its server what is there
    try:
        return _outcome_decoder.decode((folder / OUTCOME).read_bytes())
    except FileNotFoundError:
        return None


def read_exit_code(folder: Path) -> int | None:
    """The exit code that a command has left; None if there is none."""
    try:
        return int((folder / EXIT_CODE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def read_result(folder: Path) -> bytes | None:
    """What a command wrote as its result; None if there is nothing. Raises OSError.

    More than `RESULT_BYTES` are cut, so that they are no JSON any more.
    """
    try:
        with (folder / RESULT).open("rb") as file:
            return file.read(RESULT_BYTES + 1)
    except FileNotFoundError:
        return None


def tail_of(path: Path) -> str:
    """The end of a file with output; '' if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - TAIL_BYTES, 0))
            return file.read(TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def remove(folder: Path) -> None:
    """Remove what an attempt left; a file that another program put there stays, and its folder with it."""
    for name in (JOB, BEGUN, OUTCOME, OUTPUT, EXIT_CODE, RESULT):
        with suppress(OSError):
            (folder / name).unlink()
    with suppress(OSError):
        folder.rmdir()


def _write(path: Path, content: bytes) -> None:
    other = path.with_name(f".{path.name}.{os.getpid()}")
    with other.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    other.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
