"""The operations: what a program or a person can do over HTTP, each with the role that it needs.

An operation is a function. Its path, its parameters and its annotations are the HTTP API, the OpenAPI document, the
forms of the web pages, and the table of who may do what. Nothing else changes data over HTTP.

Example::

    class Why(msgspec.Struct, forbid_unknown_fields=True):
        reason: str | None = None

    @operation("POST", "/runs/{run_id}/pause", Role.OPERATOR)
    def pause_run(call: Call, run_id: str, body: Why) -> RunInfo:
        "Pause a run: running steps finish, and nothing new begins."
        ...
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segue.client import Segue
from segue.client.argument_masking import ArgumentMasker
from segue.web.paths import PARAMETER
from segue.web.roles import Identity, Role
from segue.web.site import Settings

OPERATIONS: dict[str, Operation] = {}
"""Every operation, by name. `segue.web.api` imports the modules that define them."""


@dataclass
class Call:
    """One call of an operation, or one view of a page: by whom, and on which database."""

    segue: Segue
    identity: Identity
    settings: Settings
    address: str | None = None  # of the caller
    request_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def actor(self) -> str:
        """The caller, as stored with what they change."""
        return self.identity.name

    @property
    def idempotency_key(self) -> str | None:
        """The header `Idempotency-Key`: a request that is repeated with it is done once."""
        return self.headers.get("idempotency-key") or None

    @functools.cached_property
    def masker(self) -> ArgumentMasker:
        """Hides the secrets in arguments that are shown."""
        return ArgumentMasker(self.segue)

    def may(self, name: str) -> bool:
        """Whether the caller may do this operation; for the buttons of a page."""
        return OPERATIONS[name].is_allowed(self.identity)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API."""

    name: str
    method: str
    path: str  # below /api/v1
    role: Role
    function: Callable[..., Any]
    query: type | None  # what the query string is decoded to
    body: type | None  # what the JSON object or the form is decoded to
    answer: Any  # the annotation of what it returns
    is_destructive: bool  # people are asked again before it happens
    status: int  # of a successful answer

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or self.name).strip().splitlines()[0]

    @property
    def description(self) -> str:
        """Its docstring."""
        return inspect.cleandoc(self.function.__doc__ or "")

    @property
    def template(self) -> str:
        """Its path, with only the names of the parameters in braces."""
        return PARAMETER.sub(r"{\1}", self.path)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in its path."""
        return tuple(PARAMETER.findall(self.path))

    @property
    def changes(self) -> bool:
        """Whether it can change something."""
        return self.method != "GET"

    def is_allowed(self, identity: Identity) -> bool:
        """Whether a caller may do it."""
        return identity.role >= self.role and (identity.scopes is None or self.name in identity.scopes)


def operation(
    method: str, path: str, role: Role, *, is_destructive: bool = False, status: int = 200
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function an operation: `function(call, <names of the path>..., query=..., body=...)`."""

    def registered(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = typing.get_type_hints(function)
        name = function.__name__
        if name in OPERATIONS:
            raise ValueError(f"There are two operations named {name}.")
        OPERATIONS[name] = Operation(
            name, method, path, role, function, hints.get("query"), hints.get("body"), hints.get("return"),
            is_destructive, status,
        )  # fmt: skip
        return function

    return registered
