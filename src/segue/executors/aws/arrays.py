"""Array jobs of AWS Batch: many attempts in one call. Pure.

Batch gives the elements of an array one command, and each its index. So the command of an array is a script of the
shell, which has the words and variables of every element. The places of the elements in their batch go along as a
variable, because indices always begin at 0, and a batch may have lost some of its pushes before it is submitted.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from segue.dispatcher.protocol import BusyError, Push, name_of_id
from segue.dispatcher.work import Work
from segue.executors.aws.jobs import MOST_BYTES

PLACES = "SEGUE_PLACES"
INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"
MOST_ELEMENTS = 100
"""More have no room in a request, unless their commands are very short."""

Request = Mapping[str, Any]


def shape_of(work: Work, request: Request) -> str | None:
    """Attempts of one shape may be in one array; None: this one goes alone, because the shell cannot run it as it is.

    A command of words may run in an image without a shell. One of a definition has no words at all.
    """
    is_of_words = work.command is not None and work.words[0] != "/bin/sh"
    if is_of_words or "command" not in request["containerOverrides"]:
        return None
    rest = {name: value for name, value in request.items() if name not in ("jobName", "containerOverrides")}
    return json.dumps([rest, request["containerOverrides"].get("resourceRequirements")], sort_keys=True)


def array_of(pushes: Sequence[Push], requests: Sequence[Request]) -> dict[str, Any]:
    """The request for an array of these pushes, which have one batch and one shape.

    Raises BusyError if it is too long: half of them may have room.
    """
    environments = [_variables(request["containerOverrides"]["environment"]) for request in requests]
    shared = dict(set.intersection(*[set(environment.items()) for environment in environments]))
    script = _script([
        (request["containerOverrides"]["command"], {name: own[name] for name in sorted(own.keys() - shared.keys())})
        for request, own in zip(requests, environments, strict=True)
    ])  # fmt: skip
    shared[PLACES] = ",".join(str(push.place) for push in pushes)
    overrides = {
        **requests[0]["containerOverrides"], "command": ["/bin/sh", "-c", script],
        "environment": [{"name": name, "value": value} for name, value in sorted(shared.items())],
    }  # fmt: skip
    name = name_of_id(pushes[0].batch or pushes[0].id)
    made = {
        **requests[0], "jobName": name, "containerOverrides": overrides, "arrayProperties": {"size": len(pushes)},
    }  # fmt: skip
    size = len(json.dumps(made).encode())
    if size > MOST_BYTES:
        raise BusyError(f"{len(pushes)} attempts are {size:,} bytes long, and one call takes {MOST_BYTES:,}", seconds=0)
    return made


def element_of(array_id: str, index: int) -> str:
    """The id of an element."""
    return f"{array_id}:{index}"


def array_and_index(job_id: str) -> tuple[str, int | None]:
    """The id of an array and an index, or the id of a job and None."""
    array_id, _, index = job_id.partition(":")
    return array_id, int(index) if index.isdigit() else None


def places_in(job: Mapping[str, Any]) -> tuple[int, ...]:
    """The places of the elements of an array, by their indices, from what DescribeJobs says of it."""
    text = _variables((job.get("container") or {}).get("environment") or []).get(PLACES, "")
    return tuple(int(place) for place in text.split(",") if place.isdigit())


def _script(elements: Sequence[tuple[Sequence[str], Mapping[str, str]]]) -> str:
    lines = [f'case "${INDEX}" in']
    for index, (words, own) in enumerate(elements):
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in own.items())
        lines.append(f"{index})\n{exports}set -- {shlex.join(words)};;")
    return "\n".join([*lines, "esac", 'exec "$@"', ""])


def _variables(named: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in named}
