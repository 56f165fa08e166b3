"""Hides the secrets among the arguments and results of runs and steps, as the code that made them declares them.

An argument is secret if its parameter is annotated with `Secret`, or has the name of a secret (see `segue.masking`). A
result is secret if the return annotation is `Secret[...]`; the values in any other result are by the names of its keys.
The parameters are those of the code that this process has imported, otherwise those that workers have stored in the
database. Where neither knows the task or workflow, only arguments that are given by name are recognized.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from segue.authoring import declared
from segue.authoring.bulk import BULK
from segue.authoring.describing.describe import describe
from segue.authoring.mapping import FLATTEN, MAP, MAP_BATCH, MAP_BATCH_ASYNC, MAP_OUTCOMES
from segue.client.masked_views import without_secrets
from segue.client.segue import Segue
from segue.client.views import DefinitionInfo, RunInfo, StepInfo
from segue.masking import HIDDEN, is_secret_name, masked

_REST = "var_positional"
_MAPS = frozenset({MAP, MAP_OUTCOMES, MAP_BATCH, MAP_BATCH_ASYNC})


class ArgumentMasker:
    """Hides secrets among the arguments that are shown from one database. Definitions are read once, if needed.

    Example::

        masker = ArgumentMasker(segue)
        masker.masked(run.workflow, run.arguments)  # [["ada", "***"], {}]
    """

    def __init__(self, segue: Segue) -> None:
        self._segue = segue
        self._stored: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None
        self._parameters: dict[str, _Parameters] = {}

    def learn(self, definitions: Iterable[DefinitionInfo]) -> None:
        """Use these definitions, which have just been read, instead of reading them again."""
        self._stored = {each.name: (each.parameters, each.result) for each in definitions}

    def masked(self, work: str, arguments: Sequence[Any] | None) -> list[Any] | None:
        """A copy of [args, kwargs] of a task or workflow of this name, without secrets."""
        if arguments is None:
            return None
        args, kwargs = arguments
        if work in _MAPS and isinstance(kwargs.get("target"), str):
            return self._masked_map(args, kwargs)
        if work == FLATTEN and kwargs.get("is_secret"):
            return [[HIDDEN for _ in args], kwargs]
        if work == BULK:
            return [masked(args), masked(_without_sought_secrets(kwargs))]
        known = self._parameters.get(work)
        if known is None:
            known = self._parameters[work] = _Parameters(self._schemas_of(work)[0])
        shown = [HIDDEN if known.hides_at(index, value) else masked(value) for index, value in enumerate(args)]
        return [shown, masked(kwargs, {name for name in kwargs if known.hides(name)})]

    def masked_result(self, work: str, result: Any, arguments: Sequence[Any] | None = None) -> Any:
        """A copy of the result of a task or workflow of this name, without secrets.

        The step of a `map` has the results of its items: what they are, its `arguments` tell.
        """
        if result is None:
            return None
        if work == FLATTEN and arguments is not None and arguments[1].get("is_secret"):
            return HIDDEN
        if work in _MAPS and arguments is not None:
            work = str(arguments[1].get("target", work))
        return HIDDEN if self._schemas_of(work)[1].get("writeOnly") is True else masked(result)

    def _masked_map(self, args: Sequence[Any], told: Mapping[str, Any]) -> list[Any]:
        """The arguments of a step that calls a task for each item: each item is an argument of that task."""
        target = told["target"]

        def of_item(item: Any) -> Any:
            is_list = told.get("star") and isinstance(item, (list, tuple))
            [shown, _] = self.masked(target, [item if is_list else [item], {}]) or [[HIDDEN], {}]
            return shown if is_list else shown[0]

        items = [[of_item(item) for item in arg] if isinstance(arg, (list, tuple)) else of_item(arg) for arg in args]
        fixed = self.masked(target, [[], told.get("fixed") or {}])
        return [items, masked(told) | ({"fixed": fixed[1]} if fixed and "fixed" in told else {})]  # type: ignore[operator]

    def parameters(self, work: str) -> Sequence[str]:
        """The names of the parameters of a task or workflow that can be given by position, as far as they are known."""
        properties = self._schemas_of(work)[0].get("properties")
        names = []
        for name, each in _objects(properties):
            if "x-segue-kind" in each and each["x-segue-kind"] != "positional_only":
                break
            names.append(name)
        return names

    def run(self, run: RunInfo) -> RunInfo:
        """A run as it is shown: without the secrets in its arguments, its metadata and its error."""
        return msgspec.structs.replace(without_secrets(run), arguments=self.masked(run.workflow, run.arguments))

    def step(self, step: StepInfo) -> StepInfo:
        """A step as it is shown: without the secrets in its arguments, its result, its metadata and its error."""
        shown = without_secrets(step)
        if step.arguments is None and step.result is None:
            return shown
        task = step.task or ""
        return msgspec.structs.replace(
            shown,
            arguments=self.masked(task, step.arguments),
            result=self.masked_result(task, step.result, step.arguments),
        )

    def _schemas_of(self, work: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Those of its parameters and of its result."""
        found = declared.tasks.get(work) or declared.workflows.get(work)
        if found is not None:
            described = describe(found)
            return msgspec.json.decode(described.parameters), msgspec.json.decode(described.result)
        if self._stored is None:
            self.learn(self._segue.definitions())
        return (self._stored or {}).get(work, ({}, {}))


class _Parameters:
    """Which parameters of a function are secret, from their JSON Schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._by_position: list[bool] = []
        self._names: set[str] = set()
        self._hides_rest = False
        for name, each in _objects(schema.get("properties")):
            is_secret = each.get("writeOnly") is True or is_secret_name(name)
            if each.get("x-segue-kind") == _REST:
                self._hides_rest = is_secret
                break  # those behind it can only be given by name
            self._by_position.append(is_secret)
        self._names = {name for name, each in _objects(schema.get("properties")) if each.get("writeOnly") is True}

    def hides_at(self, index: int, value: Any) -> bool:
        """Whether the positional argument of this number is secret; None is shown."""
        known = self._by_position
        return value is not None and (known[index] if index < len(known) else self._hides_rest)

    def hides(self, name: str) -> bool:
        """Whether the argument of this name is annotated as secret."""
        return name in self._names


def _objects(properties: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(properties, dict):
        return []
    return [(name, each) for name, each in properties.items() if isinstance(each, dict)]


def _without_sought_secrets(kwargs: Any) -> Any:
    """The arguments of a bulk action, whose filters are pairs of a name or path and the value that is sought there."""
    try:
        order = kwargs["order"]
        hidden = {
            kind: [
                [name, HIDDEN if is_secret_name(name.strip('"')) else value] for name, value in order["chosen"][kind]
            ]
            for kind in ("labels", "arguments")
        }
        return {**kwargs, "order": {**order, "chosen": {**order["chosen"], **hidden}}}
    except (KeyError, TypeError, ValueError, AttributeError):  # it was not written by this release
        return {"order": HIDDEN}
