"""Descriptions of the tasks and workflows that the imported code defines, and the version of the code.

Promise: it never raises because of the user's code. A part that cannot be described is left out, and `problem` says
why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from inspect import Parameter, Signature, signature
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from segue.authoring import declared
from segue.authoring.annotations import annotation_of, annotations_of, returned
from segue.authoring.describing.code_hash import code_hash, digest
from segue.authoring.describing.schema import Schema, SchemaWriter, stable_json
from segue.authoring.lending import CONNECTION
from segue.authoring.limits import Limit
from segue.authoring.naming import module_of
from segue.authoring.schedule import Schedule
from segue.authoring.secret import is_secret
from segue.authoring.task import Task
from segue.authoring.values import decode, encode, shape_of
from segue.authoring.workflow import Workflow
from segue.errors import SegueError
from segue.masking import is_secret_name, masked
from segue.plan.code_version import CodeVersion, Kind, WorkDefinition

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOST_BYTES = 2**16
"""The limit of a schema, or of options; a larger one is left out."""

MOST_DEFAULT_BYTES = 2**10
_MOST_PROBLEM_LETTERS = 1000
_OWN = "segue.authoring."
_KINDS = {
    Parameter.POSITIONAL_ONLY: "positional_only",
    Parameter.VAR_POSITIONAL: "var_positional",
    Parameter.VAR_KEYWORD: "var_keyword",
}

Work = Task[..., Any] | Workflow[..., Any]
_known: tuple[tuple[Work, ...], CodeVersion | None] | None = None


def code_version() -> CodeVersion | None:
    """The definitions in the code that this process has imported, without Segue's own; None if there are none."""
    global _known
    works = tuple(user_work())
    if _known is None or _known[0] != works:
        _known = (works, _version_of(works) if works else None)
    return _known[1]


def user_work() -> Iterator[Work]:
    """The tasks and workflows that the user's code defines."""
    known: list[Mapping[str, Work]] = [declared.tasks, declared.workflows]
    for kind in known:
        for name, work in sorted(kind.items()):
            if not (str(work.fn.__module__).startswith(_OWN) or name.startswith(_OWN)):
                yield work


def describe(work: Work) -> WorkDefinition:
    """The description of a task or workflow."""
    problems: list[str] = []
    parameters, result = "{}", "{}"
    try:
        parameters, result = _schemas(work, problems)
    except Exception as exc:  # noqa: BLE001 - annotations and defaults are the user's code
        problems.append(f"its parameters cannot be described: {type(exc).__name__}: {exc}")
    kind: Kind = "task" if isinstance(work, Task) else "workflow"
    return WorkDefinition(
        kind=kind, name=work.name, module=_storable(module_of(work.fn)), qualname=_storable(work.fn.__qualname__),
        title=_storable(work.title), description=_storable(work.description), parameters=parameters, result=result,
        options=_bounded("options", _options(work), problems), code_hash=_hash_of(work, problems),
        problem=_storable("; ".join(problems))[:_MOST_PROBLEM_LETTERS] or None,
    )  # fmt: skip


def _version_of(works: Iterable[Work]) -> CodeVersion:
    definitions = tuple(describe(work) for work in works)
    return CodeVersion(digest(msgspec.json.encode(definitions).decode()), definitions)


def _schemas(work: Work, problems: list[str]) -> tuple[str, str]:
    """The schemas of the parameters and of the result."""
    hints = annotations_of(work.fn)
    writer = SchemaWriter()
    properties: dict[str, Schema] = {}
    required: list[str] = []
    rest: Schema | bool = False
    for parameter in _parameters(work):
        schema = _parameter(writer, parameter, hints)
        if parameter.kind is Parameter.VAR_KEYWORD:
            rest = schema or True
            continue
        properties[parameter.name] = schema
        if parameter.default is Parameter.empty and parameter.kind is not Parameter.VAR_POSITIONAL:
            required.append(parameter.name)
    schema = {"$schema": DIALECT, "type": "object", "properties": properties}
    schema |= ({"required": required} if required else {}) | {"additionalProperties": rest}
    parameters = _bounded("parameters", schema | _defs(writer), problems)
    for_result = SchemaWriter()
    annotation = returned(hints.get("return", Any))
    schema = {"$schema": DIALECT, **for_result.of(shape_of(annotation))}
    if is_secret(annotation):
        schema["writeOnly"] = True
    result = _bounded("result", schema | _defs(for_result), problems)
    problems += [*writer.problems, *(f"result: {each}" for each in for_result.problems)]
    return parameters, result


def _parameters(work: Work) -> list[Parameter]:
    """The parameters that callers give."""
    told: Signature = signature(work.fn)
    is_lent = isinstance(work, Task) and work.transactional
    return [each for each in told.parameters.values() if not (is_lent and each.name == CONNECTION)]


def _parameter(writer: SchemaWriter, parameter: Parameter, hints: dict[str, Any]) -> Schema:
    annotation = annotation_of(parameter, hints)
    schema = writer.of(shape_of(annotation)) | _words(annotation)
    if parameter.kind is Parameter.VAR_POSITIONAL:
        schema = {"type": "array", "items": schema}
    if is_secret(annotation):
        schema["writeOnly"] = True
    if parameter.kind in _KINDS and parameter.kind is not Parameter.VAR_KEYWORD:
        schema["x-segue-kind"] = _KINDS[parameter.kind]
    if parameter.default is not Parameter.empty and not _is_hidden(parameter, annotation):
        try:
            text = stable_json(parameter.default)
        except (SegueError, TypeError, ValueError):  # it is made when the function is called, or is not JSON
            return schema
        if len(text) <= MOST_DEFAULT_BYTES:
            schema["default"] = masked(decode(text))
    return schema


def _is_hidden(parameter: Parameter, annotation: Any) -> bool:
    """Whether its default is a secret, which is not stored."""
    is_telling = parameter.default is not None and not isinstance(parameter.default, bool)
    return is_telling and (is_secret(annotation) or is_secret_name(parameter.name))


def _words(annotation: Any) -> Schema:
    """The description in an annotation: `Annotated[int, Doc("...")]`, msgspec's Meta and pydantic's Field."""
    origin = get_origin(annotation)
    found: Schema = {}
    if origin in (Union, UnionType):
        for arg in get_args(annotation):
            found |= _words(arg)
    if origin is Annotated:
        for each in annotation.__metadata__:
            for name, words in (("title", "title"), ("description", "description"), ("documentation", "description")):
                said = getattr(each, name, None)
                if isinstance(said, str):
                    found[words] = said
    return found


def _defs(writer: SchemaWriter) -> Schema:
    return {"$defs": writer.defs} if writer.defs else {}


def _bounded(of: str, value: Any, problems: list[str]) -> str:
    try:
        text = encode(value)
    except SegueError as exc:
        problems.append(f"{of}: {exc}")
        return "{}"
    if len(text) > MOST_BYTES:
        problems.append(f"{of}: their description is {len(text):,} bytes, more than the limit of {MOST_BYTES:,}")
        return "{}"
    return text


def _hash_of(work: Work, problems: list[str]) -> str:
    try:
        return code_hash(work.fn)
    except Exception as exc:  # noqa: BLE001 - defaults and decorators are the user's code
        problems.append(f"its code cannot be read: {type(exc).__name__}: {exc}")
        return ""


def _options(work: Work) -> dict[str, Any]:
    """Its options, without those that have no value."""
    options = _of_task(work) if isinstance(work, Task) else _of_workflow(work)
    options["schedule"] = None if work.schedule is None else _schedule(work.schedule)
    return {name: value for name, value in options.items() if value is not None}


def _of_workflow(work: Workflow[..., Any]) -> dict[str, Any]:
    start, end = (None, None) if work.sla is None else (work.sla.start, work.sla.end)
    return {
        "queue": work.queue, "priority": work.priority, "fail_fast": work.fail_fast or None,
        "deadline": work.deadline, "sla_start": start, "sla_end": end, "tags": list(work.tags) or None,
        "hooks": [str(hook) for hook in sorted(work.hooks)] or None,
        "concurrency": None if work.limit is None else work.limit.concurrency, "concurrency_key": work.limit_key,
        "fair_by": None if work.fair is None else work.fair.by,
    }  # fmt: skip


def _of_task(work: Task[..., Any]) -> dict[str, Any]:
    placement = work.placement
    limits = [] if placement.own_limit is None else [placement.own_limit]
    return {
        "queue": placement.queue, "priority": placement.priority, "delay": placement.delay,
        **msgspec.structs.asdict(placement.policy),
        "retry_on": None if work.retry_on is None else [each.__qualname__ for each in work.retry_on],
        "give_up_on": [each.__qualname__ for each in work.give_up_on] or None,
        "transactional": work.transactional or None, "is_async": work.is_async or None,
        "metadata": None if placement.metadata is None else decode(placement.metadata),
        "limits": [_limit(each) for each in [*limits, *placement.limits]] or None,
        "cost": placement.cost if limits or placement.limits else None,
        "fair_by": None if placement.fair is None else placement.fair.by,
    }  # fmt: skip


def _limit(limit: Limit) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(limit).items() if value is not None}


def _schedule(schedule: Schedule) -> dict[str, Any]:
    return {"expression": schedule.timetable().text, "timezone": schedule.timezone, "overlap": str(schedule.overlap)}


def _storable(text: object) -> str:
    """A text in a form that every database can store."""
    return str(text).replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
