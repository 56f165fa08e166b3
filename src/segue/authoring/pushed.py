"""The options of steps that run at an executor which is polled: `executor=`, `resources=`, `push=`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from segue.errors import DefinitionError
from segue.given import shown
from segue.plan.pushed import PushSpec, Resources, decode_spec, encode_spec

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_OF_THEIR_OWN = {
    "celery": "install Segue into the app: segue.executors.celery.install(app, segue)",
    "dramatiq": "add SegueMiddleware to the broker",
    "local": "leave executor out: Segue's own workers run it",
}


def checked_executor(of: str, name: object) -> str:
    """The name of a polled executor. Raises DefinitionError."""
    if isinstance(name, str) and name in _OF_THEIR_OWN:
        raise DefinitionError(f"{of}: executor={name!r} is not for options of steps; {_OF_THEIR_OWN[name]}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(
            f"{of}: executor={shown(name)} is not the name of an executor; write the name that it was given, such as "
            "executor='hpc' for Slurm('hpc', ...)"
        )
    return name


def changed_spec(of: str, before: str | None, changes: Mapping[str, object]) -> str | None:
    """The spec with other resources or options. Raises DefinitionError."""
    spec = decode_spec(before)
    resources, options = changes.get("resources", spec.resources), changes.get("push", spec.options)
    if not isinstance(resources, Resources):
        raise DefinitionError(
            f"{of}: resources={shown(resources)} are not Resources; write resources=Resources(cpu=4, memory='8GiB')"
        )
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise DefinitionError(f"{of}: push={shown(options)} is not a dict; write push={{'partition': 'short'}}")
    try:
        return encode_spec(PushSpec(resources, {**spec.options, **options}))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise DefinitionError(f"{of}: push={shown(options)} cannot be stored as JSON: {error}") from None
