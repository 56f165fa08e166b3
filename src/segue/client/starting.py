"""Starts by name: of work whose code this process has, and of work that only other processes know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from segue.authoring import declared, encode
from segue.client.given import checked
from segue.client.run import Run
from segue.client.segue import Segue
from segue.client.views import DefinitionInfo
from segue.client.waiting import checked_run_at
from segue.engine.deferred import DeferredStart, defer_start
from segue.errors import ConfigError, PlanError, Problem, UnknownTaskError
from segue.plan.check import MAX_ARGUMENT_BYTES, Parameters
from segue.plan.graph import RunTerms
from segue.plan.indexed import check_key
from segue.plan.labels import checked_tags, encoded_metadata

OWN = "segue."  # the beginning of the names of Segue's own tasks
_OF_START = frozenset({"key", "tags", "metadata", "deadline", "debounce", "connection", "run_at", "reuse_key"})


def start_by_name(
    segue: Segue, name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, *,
    key: str | None = None, reuse_key: bool = False, tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None, deadline: float | None = None, run_at: datetime | None = None,
    may_start: Callable[[str], None] = lambda name: None,
) -> Run[Any]:  # fmt: skip
    """Start a workflow or task by its full name, or by its short name if only one has it. Arguments are JSON values.

    Work that this process has imported is started as by `Segue.start`. Work that only workers define is called by one
    of them, usually within a second: until then the run is pending, without steps, and `explain` says what it waits
    for. `may_start` is called with the full name, and may raise. Raises UnknownTaskError for an unknown name, and
    PlanError for arguments that do not fit.

    Example::

        start_by_name(segue, "shop.nightly", ["2026-11-20"], key="2026-11-20").id
    """
    named = dict(kwargs or {})
    work = find_known(checked("start", "name", name))
    if work is None:
        found = find_defined(segue, name)
        may_start(found.name)
        return _deferred(
            segue, found, list(args), named, key=key, reuse_key=reuse_key, tags=tags, metadata=metadata,
            deadline=deadline, run_at=run_at,
        )  # fmt: skip
    may_start(work.name)
    given, converted = work.converters.apply(work.name, list(args), named)
    options: dict[str, Any] = {
        "key": key, "reuse_key": reuse_key, "tags": tags, "metadata": metadata, "deadline": deadline, "run_at": run_at,
    }  # fmt: skip
    if _OF_START & converted.keys():  # parameters that have the names of options
        return segue.start(work.s(*given, **converted), **options)
    return segue.start(work, *given, **converted, **options)


def known_work(name: str) -> Any:
    """The task or workflow of this full or short name in the imported code. Raises UnknownTaskError."""
    found = find_known(name)
    if found is None:
        raise UnknownTaskError(f"This process has not imported a workflow or task named {name!r}.")
    return found


def find_known(name: str) -> Any:
    """The task or workflow of this full or short name in the imported code; None if there is none.

    Raises UnknownTaskError if several have the short name.
    """
    known: dict[str, Any] = {**declared.tasks, **declared.workflows}
    if name in known:
        return known[name]
    for kind in (declared.workflows, declared.tasks):
        full = _of_short_name(kind, name)
        if full is not None:
            return known[full]
    return None


def find_defined(segue: Segue, name: str) -> DefinitionInfo:
    """The task or workflow of this full or short name that workers define. Raises UnknownTaskError."""
    found = {each.name: each for each in segue.definitions()}
    if name in found:
        return found[name]
    for kind in ("workflow", "task"):
        full = _of_short_name([each.name for each in found.values() if each.kind == kind], name)
        if full is not None:
            return found[full]
    near = get_close_matches(name, found, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownTaskError(f"No live worker defines a workflow or task named {name!r}.{guess}")


def _of_short_name(names: Iterable[str], name: str) -> str | None:
    full = [known for known in names if known.rpartition(".")[2] == name]
    full = [found for found in full if not found.startswith(OWN)] or full  # built-in names yield to the user's
    if len(full) > 1:
        raise UnknownTaskError(f"{name!r} may mean {' or '.join(sorted(full))}; write the full name.")
    return full[0] if full else None


def _deferred(
    segue: Segue, found: DefinitionInfo, args: list[Any], kwargs: dict[str, Any], *, key: str | None,
    reuse_key: bool, tags: Iterable[str], metadata: Mapping[str, Any] | None, deadline: float | None,
    run_at: datetime | None,
) -> Run[Any]:  # fmt: skip
    engine = segue.engine
    engine.in_one_namespace("start a run")
    check_key("key", key, tells_apart="one run from another")
    if reuse_key and key is None:
        raise ConfigError("reuse_key=True is about a key, and there is none. Give key=..., or leave reuse_key out.")
    if deadline is not None and not 0 < deadline < 1e10:
        raise ConfigError(f"deadline={deadline:g} is not in the future. Give seconds, more than 0.")
    _check_arguments(found, args, kwargs)
    id_ = engine.new_id()
    start = DeferredStart(
        id=id_, workflow=engine.stored(found.name), arguments=_encoded(found.name, args, kwargs), key=key,
        reuses_key=reuse_key, due_at=None if run_at is None else checked_run_at(run_at, engine.store.now()),
        terms=RunTerms(
            tags=checked_tags("start", tags), metadata=encoded_metadata("start", metadata or {}), deadline=deadline
        ),
    )  # fmt: skip
    made = engine.act(defer_start, start)
    return Run(engine, made, is_new=made == id_)


def _encoded(name: str, args: list[Any], kwargs: dict[str, Any]) -> str:
    text = encode((args, kwargs), "arguments")
    if len(text.encode()) > MAX_ARGUMENT_BYTES:
        what = f"its arguments have {len(text):,} characters, more than the limit of {MAX_ARGUMENT_BYTES:,}"
        raise PlanError(name, [Problem(name, what, "Store the value elsewhere, and pass its location")])
    return text


def _check_arguments(found: DefinitionInfo, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Raise PlanError if the number or the names of the arguments do not fit the definition."""
    schema = found.parameters
    properties = schema.get("properties")
    if not isinstance(properties, dict):  # it could not be described
        return
    positional: list[str] = []
    only_positional, takes_more = 0, False
    for name, each in properties.items():
        kind = each.get("x-segue-kind")
        if kind == "var_positional":
            takes_more = True
            break
        positional.append(name)
        only_positional += kind == "positional_only"
    parameters = Parameters(
        positional=tuple(positional), positional_only=only_positional, required=tuple(schema.get("required", ())),
        named=frozenset(name for name, each in properties.items() if "x-segue-kind" not in each),
        takes_more=takes_more, takes_any_name=bool(schema.get("additionalProperties")), text="",
    )  # fmt: skip
    mistake = parameters.mistake(len(args), kwargs)
    if mistake is not None:
        raise PlanError(found.name, [Problem(found.name, mistake, "Give the arguments that it takes")])
