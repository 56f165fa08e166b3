"""The measured work: tasks that only mark when they ran, and the graphs made of them.

`run` numbers a measurement; `node` numbers its tasks from 0, so that the marks can be checked.
"""

from __future__ import annotations

from typing import Any

from segue.authoring import Limit, chain, current, group, task, workflow
from segue.authoring.compose import Chain
from segue.bench.timestamps import mark
from segue.errors import Retry

MODULE = "segue.bench.tasks"
DIAMOND_NODES = 5
RETRY_SECONDS = 0.05
HELD, ROOMY = "segue.bench.held", "segue.bench.roomy"
"""Limits: one that allows nothing to start, one that never holds anything back."""


@task
def single(run: int, node: int) -> int:
    """A task that depends on nothing."""
    return mark(run, node)


@task(limits=[Limit(HELD, concurrency=1)])
def held(run: int, node: int) -> int:
    """A task that waits for a place and never gets one."""
    return mark(run, node)


@task(limits=[Limit(ROOMY, concurrency=1_000)])
def roomy(run: int, node: int) -> int:
    """A task with a limit that always has a free place."""
    return mark(run, node)


@task(retries=1)
def stumble(run: int, node: int) -> int:
    """A task that asks to be retried a little later; its tries have separate numbers."""
    attempt = current().attempt
    done = mark(run, 2 * node + attempt - 1)
    if attempt == 1:
        raise Retry(after=RETRY_SECONDS)
    return done


@task
def follow(previous: Any, run: int, node: int) -> int:
    """A task that receives the result of the previous task, or of all of them."""
    return mark(run, node)


@workflow
def diamond(run: int, first: int) -> int:
    """One task, three in parallel, and one that receives the results of the three."""
    top = single(run, first)
    sides = [follow(top, run, first + number) for number in (1, 2, 3)]
    return follow(sides, run, first + 4)


def line(run: int, count: int) -> Chain:
    """Tasks in sequence, each with the result of the previous one."""
    return chain(single.s(run, 0), *(follow.s(run, node) for node in range(1, count)))


def fan(run: int, width: int) -> Chain:
    """One task, a group that receives its result, and one task that receives all results of the group."""
    members = group(follow.s(run, node) for node in range(1, width + 1))
    return chain(single.s(run, 0), members, follow.s(run, width + 1))
