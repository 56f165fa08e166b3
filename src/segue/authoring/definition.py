"""What tasks and workflows have in common for their users and for type checkers: arguments `P` and a result `R`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

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
