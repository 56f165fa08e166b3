"""What opens the transactions of acts: the engine, as verbs and chores see it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from segue.engine.act import Act
from segue.model import ErrorInfo
from segue.observing.once import Once
from segue.store.protocol import Store, Transaction

P = ParamSpec("P")
T = TypeVar("T")


class Acts(Protocol):
    """An `Engine`, for modules that it uses itself."""

    @property
    def store(self) -> Store:
        """The database."""

    @property
    def once(self) -> Once:
        """What chores have logged."""

    def act(self, verb: Callable[Concatenate[Act, P], T], /, *args: P.args, **fields: P.kwargs) -> T:
        """Run a verb in a transaction, again if the connection broke."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """A transaction for queries."""

    def break_run(self, run_id: str, step: int, error: ErrorInfo) -> bool:
        """End a run whose rows cannot be processed."""

    def holders(self, run_id: str) -> str:
        """Descriptions of the sessions that hold rows of a run."""
