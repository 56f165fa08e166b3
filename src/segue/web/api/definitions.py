"""What the code of the workers defines: tasks and workflows."""

from __future__ import annotations

from typing import Literal

import msgspec

from segue.client.views import DefinitionInfo
from segue.errors import UnknownTaskError
from segue.web.api.given import Text
from segue.web.operations import Call, operation
from segue.web.roles import Role


class DefinitionsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Of which kind, and of which version of the code."""

    kind: Literal["task", "workflow"] | None = None
    version: Text | None = None


@operation("GET", "/definitions", Role.VIEWER)
def list_definitions(call: Call, query: DefinitionsQuery) -> list[DefinitionInfo]:
    """The tasks and workflows that live workers define, with the JSON Schema of their parameters."""
    found = call.segue.definitions(version=query.version)
    return [each for each in found if query.kind is None or each.kind == query.kind]


@operation("GET", "/definitions/{name:name}", Role.VIEWER)
def get_definition(call: Call, name: str) -> DefinitionInfo:
    """A task or workflow by its full name."""
    for each in call.segue.definitions():
        if each.name == name:
            return each
    raise UnknownTaskError(f"No live worker defines {name!r}.")
