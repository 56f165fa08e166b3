"""What a version of the code defines, as data: its tasks and workflows. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["task", "workflow"]


class WorkDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A task or workflow as defined in the code. Schemas and options are JSON text."""

    kind: Kind
    name: str
    module: str  # the name under which a worker imports it
    qualname: str
    title: str
    description: str  # "" if there is none
    parameters: str  # JSON Schema of an object with a property for each parameter
    result: str  # JSON Schema
    options: str  # JSON object: queue, retries, timeout, limits ...
    code_hash: str  # of the function's source, or of its bytecode
    problem: str | None = None  # what could not be described


class CodeVersion(msgspec.Struct, frozen=True):
    """Everything that a process's code defines. Equal code has the same version everywhere."""

    version: str
    definitions: tuple[WorkDefinition, ...]
