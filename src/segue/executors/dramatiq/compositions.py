"""`Chain`, `Group` and `WithDelay` over messages of Dramatiq, in any nesting."""

from __future__ import annotations

from typing import Any

from segue.authoring.definition import Composition


class Chain(Composition):
    """What runs one after another: messages, groups, chains, pipelines, and signatures of Segue.

    Results are not passed on, unless `flow(..., pass_results=True)` says so. An empty chain is passed through.
    Example::

        segue.start(Chain(fetch.message(7), Group(resize.message(640), resize.message(1280)), publish.message()))
    """

    def __init__(self, *tasks: Any) -> None:
        self.tasks = list(tasks)

    def __str__(self) -> str:
        return f"Chain({self.tasks})"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and self.tasks == other.tasks

    __hash__ = None  # type: ignore[assignment]


class Group(Composition):
    """What runs side by side; what follows waits for all of it. A group may be empty, or have one member."""

    def __init__(self, *tasks: Any) -> None:
        self.tasks = list(tasks)

    def __str__(self) -> str:
        return f"Group({self.tasks})"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self.tasks == other.tasks

    __hash__ = None  # type: ignore[assignment]


class WithDelay(Composition):
    """The same, begun some milliseconds later: the first task of a chain, or each member of a group."""

    def __init__(self, task: Any, delay: int) -> None:
        self.task = task
        self.delay = delay

    def __str__(self) -> str:
        return f"WithDelay({self.task}, {self.delay})"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithDelay) and self.task == other.task and self.delay == other.delay

    __hash__ = None  # type: ignore[assignment]
