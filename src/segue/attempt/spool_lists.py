"""The jobs of a batch in its spool: one file for all, of which each process reads only its own part.

The first line says where each part is: {"17": [start, length]}, from the beginning of the second line. A batch may have
several lists, if parts of it were submitted again: none is ever changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

LIST, PARTS = "jobs", "parts"
_index = msgspec.json.Decoder(dict[str, tuple[int, int]])


def write_list(folder: Path, parts: Mapping[int, bytes]) -> Path:
    """Write another list of jobs into the folder of a batch. Raises OSError."""
    where, start = dict[str, tuple[int, int]](), 0
    for place, part in parts.items():
        where[str(place)] = (start, len(part))
        start += len(part)
    return write_new(folder, LIST, [msgspec.json.encode(where), b"\n", *parts.values()])


def write_new(folder: Path, kind: str, content: Iterable[bytes]) -> Path:
    """Write another file of a kind, which only this user may read. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{kind}-{os.urandom(4).hex()}"
    hidden, path = folder / f".{name}", folder / name
    with hidden.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(path)
    return path


def read_part(folder: Path, place: str) -> bytes:
    """What the newest list has for a place. Raises FileNotFoundError if none has it, ValueError for a damaged one."""
    for path in sorted(folder.glob(f"{LIST}-*"), key=_age):
        with path.open("rb") as file:
            found = _index.decode(file.readline()).get(place)
            if found is not None:
                start, length = found
                file.seek(start, os.SEEK_CUR)
                part = file.read(length)
                if len(part) < length:
                    raise ValueError(f"{path} is cut off")
                return part
    raise FileNotFoundError(f"no list in {folder} has a job for place {place}")


def _age(path: Path) -> float:
    with suppress(OSError):
        return -path.stat().st_mtime
    return 0.0
