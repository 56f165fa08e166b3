"""The arguments of a step as text with holes: a result is filled in for each handle when it is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from segue.authoring.handle import Graph, Handle, gathered
from segue.authoring.values import Converters, encode, key_text, plain_of
from segue.errors import DefinitionError, SerializationError
from segue.plan.check import MAX_NESTING
from segue.plan.frames import unframed
from segue.plan.writing import Writer

Where = tuple[str | int, ...]
"""The place of a hole: 0 or 1 for args or kwargs, then the path inside."""


class Templates:
    """Writes the arguments of one trace's steps; `own` raises DefinitionError for a handle of another trace."""

    def __init__(self, graph: Graph, own: Callable[[Handle], Handle]) -> None:
        self._graph = graph
        self._own = own
        self._seen: list[Handle] = []
        self._whys: list[str] = []  # of the step that is being written
        self._encode = msgspec.json.Encoder(enc_hook=self._note_handle).encode
        self._writer = Writer(_plain_but_handles)

    def write(
        self, args: Any, kwargs: dict[str, Any], converters: Converters | None
    ) -> tuple[str, list[tuple[Where, Handle]], list[str]]:
        """Arguments as text with null for handles, the handles and their places, and why some cannot be written."""
        text, found = self._filled(args, kwargs, converters)
        whys, self._whys = self._whys, []
        return text, found, whys

    def _filled(
        self, args: Any, kwargs: dict[str, Any], converters: Converters | None
    ) -> tuple[str, list[tuple[Where, Handle]]]:
        """Arguments as text, and the handles in them; a value that cannot be written is noted, and left out."""
        try:
            text = unframed(self._encode((args, kwargs)).decode())
        except DefinitionError:
            raise
        except Exception:  # noqa: BLE001 - the argument at fault, and the reason, are found below
            return self._placeholder(args, kwargs, converters), []
        if self._may_be_read_otherwise([list(args), kwargs], text):
            return self._placeholder(args, kwargs, converters), []
        if not self._seen:
            return text, []
        count = len(self._seen)
        self._seen.clear()
        found: list[tuple[Where, Handle]] = []
        reached, template = self._without_handles((list(args), kwargs), (), found)
        if reached != count:
            why = f"a future result lies inside an object that is not a list, tuple or dict, or {MAX_NESTING} deep"
            self._whys.append(why)
            return encode(([None] * len(args), dict.fromkeys(kwargs))), []
        return unframed(self._encode(template).decode()), found

    def _placeholder(self, args: Any, kwargs: dict[str, Any], converters: Converters | None) -> str:
        """Arguments of the right form for the other checks, after the ones that cannot be written were noted."""
        names = [str(index) if converters is None else converters.name_at(index) for index in range(len(args))]
        for name, value in (*zip(names, args, strict=True), *kwargs.items()):
            try:
                self._writer.write(value, f"argument {name}")
            except SerializationError as exc:
                self._whys.append(str(exc))
        self._seen.clear()
        return encode(([None] * len(args), dict.fromkeys(kwargs)))

    def _may_be_read_otherwise(self, arguments: list[Any], text: str) -> bool:
        writer = self._writer
        if self._seen:  # a handle is equal to no value
            odd = text.count("{") > 1 or writer.leaves_traces(arguments, text)
        else:
            odd = writer.is_odd(arguments, text, braces=1)
        return odd and writer.find_fault(arguments) is not None

    def _note_handle(self, value: Any) -> Any:
        if isinstance(value, Handle):
            self._seen.append(self._own(value))
            return None
        return plain_of(value)

    def _without_handles(self, value: Any, where: Where, found: list[tuple[Where, Handle]]) -> tuple[int, Any]:
        """The number of handles reached in `value`, and a copy with null in their places."""
        if len(where) > MAX_NESTING + 2:  # two more for the place among the arguments
            return 0, value  # which is one too few if it is a handle
        if isinstance(value, Handle):
            found.append((where, value))
            return 1, None
        if isinstance(value, (list, tuple)):
            if where and len(value) > 1 and len(where) > 1 and all(isinstance(item, Handle) for item in value):
                exprs, steps = zip(*((item._expr, item._steps) for item in value), strict=True)
                merged = tuple(dict.fromkeys(step for part in steps for step in part))
                found.append((where, Handle(self._graph, gathered(list(exprs)), merged)))
                return len(value), None
            pairs: list[tuple[Any, Any]] = list(enumerate(value))
        elif isinstance(value, dict):
            pairs = [(key_text(key), item) for key, item in value.items()]
        else:
            return 0, value
        reached = 0
        copies = []
        for key, item in pairs:
            count, copy = self._without_handles(item, (*where, key), found)
            reached += count
            copies.append(copy)
        if isinstance(value, dict):
            return reached, dict(zip((key for key, _ in pairs), copies, strict=True))
        return reached, copies


def _plain_but_handles(value: Any) -> Any:
    return None if isinstance(value, Handle) else plain_of(value)
