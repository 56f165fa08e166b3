"""How pushes are named at Slurm: the names of jobs, their ids, and the folders in the spool. Pure.

alone           name segue-X        id 4711       folder segue-X
in an array     name segue-B        id 4711_17    folder segue-B/17      B is the batch, 17 the place
of a batch,     name segue-B-17     id 4712       folder segue-B/17
but alone
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from segue.attempt import spool
from segue.dispatcher.protocol import Push, id_of_name, name_of_id

_ID = re.compile(r"\d+(_\d+)?")


class Called(NamedTuple):
    """Which push a job is: the id of the push, or of its batch and its place there."""

    id: str
    place: int | None = None


def name_of(push: Push) -> str:
    """The name of its job, or of the array that it is an element of."""
    return push.name if push.batch is None else name_of_id(push.batch)


def lone_name_of(push: Push) -> str:
    """The name of its job if it is submitted by itself."""
    return push.name if push.batch is None else f"{name_of_id(push.batch)}-{push.place}"


def called(push: Push) -> Called:
    """The push, as its jobs are called."""
    return Called(push.id) if push.batch is None else Called(push.batch, push.place)


def called_by(name: str, job_id: str) -> Called | None:
    """Which push a job is, by its name and id; None for a name that Segue did not give."""
    base, dash, last = name.rpartition("-")
    if dash and last.isdecimal() and (found := id_of_name(base)) is not None:
        return Called(found, int(last))
    id_ = id_of_name(name)
    if id_ is None:
        return None
    place = job_id.partition("_")[2]
    return Called(id_, int(place) if place.isdecimal() else None)


def array_of(job_id: str) -> str:
    """The id of the array, or of the job if it is none."""
    return job_id.partition("_")[0]


def is_id(text: str | None) -> bool:
    """Whether this is the id of a job, or of an element of an array."""
    return text is not None and _ID.fullmatch(text) is not None


def folder_of(root: Path, push: Push) -> Path:
    """Where its files are."""
    return root / push.name if push.batch is None else root / name_of_id(push.batch) / str(push.place)


def output_of(root: Path, push: Push) -> Path:
    """What it prints. Slurm makes no folders, so that of an element lies beside its folder."""
    if push.batch is None:
        return folder_of(root, push) / spool.OUTPUT
    return root / name_of_id(push.batch) / f"{spool.OUTPUT}-{push.place}"


def indices(places: Iterable[int]) -> str:
    """The places as `sbatch` and `scancel` write them: 0-3,7."""
    spans: list[list[int]] = []
    for place in sorted(places):
        if spans and place == spans[-1][1] + 1:
            spans[-1][1] = place
        else:
            spans.append([place, place])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def expanded(job_id: str) -> list[str]:
    """The ids that `sacct` writes as one, such as 4711_[0-3,7%5]."""
    array, bracket, rest = job_id.partition("_[")
    if not bracket:
        return [job_id]
    found = []
    for span in rest.rstrip("]").partition("%")[0].split(","):
        first, _, last = span.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found += [f"{array}_{place}" for place in range(int(first), int(last or first) + 1)]
    return found


def for_scancel(ids: Iterable[str]) -> list[str]:
    """These ids in few words: 4711_[0-3,7] 4712.

    Nothing else may stand beside them: with any option, `scancel` ends a whole array of which one element was named.
    """
    arrays: dict[str, set[int]] = {}
    alone = []
    for job_id in ids:
        array, _, place = job_id.partition("_")
        if place:
            arrays.setdefault(array, set()).add(int(place))
        else:
            alone.append(array)
    return [*alone, *(f"{array}_[{indices(places)}]" for array, places in arrays.items())]
