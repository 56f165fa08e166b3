"""The work that is measured: tasks that only mark when they ran, and the graphs made of them.

`run` numbers one measurement, `node` counts its tasks from 0, so that the marks can be checked.
"""

from __future__ import annotations

from typing import Any

from segue.authoring import Limit, chain, group, task, workflow
from segue.authoring.compose import Chain
from segue.bench.marks import mark

MODULE = "segue.bench.tasks"
DIAMOND_NODES = 5
HELD, ROOMY = "segue.bench.held", "segue.bench.roomy"
"""Limits: one that lets nothing start, one that holds nothing back."""


@task
def single(run: int, node: int) -> int:
    """A task that waits for nothing."""
    return mark(run, node)


@task(limits=[Limit(HELD, concurrency=1)])
def held(run: int, node: int) -> int:
    """A task that waits for a place which it never gets."""
    return mark(run, node)


@task(limits=[Limit(ROOMY, concurrency=1_000)])
def roomy(run: int, node: int) -> int:
    """A task that has a limit and always finds a place."""
    return mark(run, node)


@task
def follow(previous: Any, run: int, node: int) -> int:
    """A task that is given the result of the one before it, or of all of them."""
    return mark(run, node)


@workflow
def diamond(run: int, first: int) -> int:
    """One task, three beside each other, one that is given the results of the three."""
    top = single(run, first)
    sides = [follow(top, run, first + number) for number in (1, 2, 3)]
    return follow(sides, run, first + 4)


def line(run: int, count: int) -> Chain:
    """Tasks in sequence, each given the result of the one before."""
    return chain(single.s(run, 0), *(follow.s(run, node) for node in range(1, count)))


def fan(run: int, width: int) -> Chain:
    """One task, a group that is given its result, one task that is given all of theirs."""
    members = group(follow.s(run, node) for node in range(1, width + 1))
    return chain(single.s(run, 0), members, follow.s(run, width + 1))
