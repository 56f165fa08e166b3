"""Limits and turns in tests: uses, sizes, and who runs what."""

from __future__ import annotations

from collections import Counter
from typing import Any

from segue.engine.limiting.limits import remove_limit, set_limit, set_weight
from segue.model import Gather, Job, Ref
from segue.plan.graph import FairShare, LimitTerms, LimitUse, Node
from tests.contract.stage import Stage, node, value


def use(limit: str, key: str | None = None, cost: int = 1) -> LimitUse:
    return LimitUse(limit, None if key is None else value(key), cost)


def use_by_result(limit: str, step: int, *path: str, cost: int = 1) -> LimitUse:
    """With the result of a step, or what is at `path` in it, as the key."""
    return LimitUse(limit, Gather((Ref(step, path),)), cost)


def limited(name: str, *uses: LimitUse | str, **fields: Any) -> Node:
    """A step that uses these limits."""
    needs = tuple(use(each) if isinstance(each, str) else each for each in uses)
    return node(name, *fields.pop("parents", ()), uses=needs, **fields)


def fair(name: str, key: str, weight: float = 1.0, **fields: Any) -> Node:
    """A step that uses the turn of a key."""
    return node(name, share=FairShare(value(key), weight), **fields)


def define(stage: Stage, name: str, **terms: Any) -> None:
    stage.engine.act(set_limit, terms=LimitTerms(name, **terms))


def undefine(stage: Stage, name: str) -> None:
    stage.engine.act(remove_limit, name=name)


def weigh(stage: Stage, key: str, weight: float | None, queue: str = "default") -> None:
    stage.engine.act(set_weight, queue=queue, key=key, weight=weight)


def names(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs]


def kinds(jobs: list[Job]) -> dict[str, int]:
    """How many of the jobs have which name, numbers left out: "a1", "a2", "b" is {"a": 2, "b": 1}."""
    return dict(Counter(job.name.rstrip("0123456789") for job in jobs))
