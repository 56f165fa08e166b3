"""What tasks and workflows have in common for their users and for type checkers: arguments `P` and a result `R`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

from segue.authoring.elsewhere import Unfamiliar

if TYPE_CHECKING:  # a default needs Python 3.13, and lets users write `Run` and `Signature` without their parameter
    from typing_extensions import TypeVar as TypeVarWithDefault

    Result = TypeVarWithDefault("Result", default=Any)
    Result_co = TypeVarWithDefault("Result_co", covariant=True, default=Any)
else:
    Result = TypeVar("Result")
    Result_co = TypeVar("Result_co", covariant=True)

P = ParamSpec("P")


class Definition(Unfamiliar, Generic[P, Result]):
    """A task or a workflow: what `segue.start` takes together with its arguments."""

    short_name: str

    def _called(self) -> str:
        return self.short_name


class Composition:
    """Work of another library. Type checkers accept its subclasses wherever work is expected.

    How it becomes a plan is registered with `segue.authoring.register_planner`.
    """

    __slots__ = ()


class _Message(Protocol):
    """A message of Dramatiq, which cannot be imported here."""

    @property
    def actor_name(self) -> str: ...
    @property
    def message_id(self) -> str: ...


class _Pipeline(Protocol):
    """A pipeline of Dramatiq."""

    messages: Any
    broker: Any


class _Group(Protocol):
    """A group of Dramatiq."""

    children: Any
    broker: Any


Foreign = Composition | _Message | _Pipeline | _Group
"""Work of other libraries, as far as type checkers know it."""
