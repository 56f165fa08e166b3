"""The steps of a run as a tree: steps that a task returned stand below its step, and large groups are folded.

Pure: it makes branches from steps; `segue.cli.rendering` draws them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from segue.engine.views.look import StepInfo
from segue.model import StepStatus

FOLD_FROM = 9
"""A group of at least this many steps is folded into one entry."""
MOST_LEVELS = 12
_MEMBER = re.compile(r"(.*)\[\d+\]")
_URGENCY = (
    StepStatus.FAILED,
    StepStatus.RUNNING,
    StepStatus.SENT,
    StepStatus.READY,
    StepStatus.BLOCKED,
    StepStatus.CANCELLED,
    StepStatus.SUCCEEDED,
    StepStatus.SKIPPED,
)


@dataclass(slots=True)
class Branch:
    """An entry of the tree: a step, a sub-workflow that only has a name, or the members of a folded group."""

    label: str
    step: StepInfo | None = None
    below: list[Branch] = field(default_factory=list)
    members: list[Branch] = field(default_factory=list)  # of a folded group

    def steps(self) -> Iterator[StepInfo]:
        """All steps at and below it, without virtual ones."""
        if self.step is not None and not is_virtual(self.step):
            yield self.step
        for branch in (*self.below, *self.members):
            yield from branch.steps()

    def counts(self) -> Counter[str]:
        """The number of its steps in each status."""
        return Counter(step.status.value for step in self.steps())

    @property
    def status(self) -> StepStatus:
        """The status of its step; for several steps, the one that needs attention most."""
        if self.step is not None:
            return self.step.status
        seen = {step.status for step in self.steps()}
        return next((status for status in _URGENCY if status in seen), StepStatus.BLOCKED)


def grow(steps: Iterable[StepInfo], *, fold: bool = True) -> list[Branch]:
    """The tree of a run, without virtual steps. With `fold`, the members of large groups share an entry.

    Plans that return plans are drawn MOST_LEVELS deep; deeper steps stand beside the step that they come from.
    """
    scopes: dict[int, list[StepInfo]] = {}
    for step in steps:
        if not is_virtual(step):
            scopes.setdefault(step.scope, []).append(step)
    roots: list[Branch] = []
    places: dict[int, _Place] = {}
    for scope in sorted(scopes):  # a step has a smaller number than what its task returned
        origin = places.get(scope)
        if origin is None:
            _plant(scopes[scope], roots, 0, places)
        elif origin.level < MOST_LEVELS:
            _plant(scopes[scope], origin.branch.below, origin.level + 1, places)
        else:
            _plant(scopes[scope], origin.siblings, origin.level, places)
    return _folded(roots) if fold else roots


def is_virtual(step: StepInfo) -> bool:
    """True for a join between two groups: it was not planned by the user, and no worker executes it."""
    return step.is_join and step.task is None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a step stands in the tree."""

    branch: Branch
    siblings: list[Branch]
    level: int


def _plant(members: Sequence[StepInfo], siblings: list[Branch], level: int, places: dict[int, _Place]) -> None:
    """Add the steps of one scope; a name like "inner/extract" puts the step under a branch "inner"."""
    inner: dict[str, list[Branch]] = {"": siblings}
    for step in members:
        *path, label = step.name.split("/")
        where, target = "", siblings
        for part in path:
            where += f"{part}/"
            if where not in inner:
                branch = Branch(part)
                target.append(branch)
                inner[where] = branch.below
            target = inner[where]
        target.append(Branch(label, step))
        places[step.step] = _Place(target[-1], target, level + len(path))


def _folded(siblings: list[Branch]) -> list[Branch]:
    """Neighbours "x[0]", "x[1]" ... become one entry if there are many, everywhere in the tree."""
    result: list[Branch] = []
    for _, neighbours in groupby(siblings, key=_group):
        members = list(neighbours)
        if len(members) >= FOLD_FROM:
            result.append(Branch(f"{members[0].label} … {members[-1].label}", members=members))
            continue
        for branch in members:
            branch.below = _folded(branch.below)
        result += members
    return result


def _group(branch: Branch) -> str:
    match = _MEMBER.fullmatch(branch.label)
    return match[1] if match else branch.label
