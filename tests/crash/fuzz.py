"""Random workflows for the soak: steps that fail, skip, grow and wait, in layers, whose right end is known."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from segue import current, task, workflow
from tests.crash.crash_tasks import bow_out, broken, broken_once, grow, note, numbers, recorded, total

SLOWEST_SECONDS = 0.05


@task(retries=3, retry_delay=0.0, lost_retries=1_000)
def work(seed: int, *_: Any) -> int:
    """Takes a moment; one in ten fails at first."""
    with recorded():
        chance = random.Random(seed)
        time.sleep(chance.random() * SLOWEST_SECONDS * (chance.random() < 0.3))
        if chance.random() < 0.1 and current().failures == 0:
            raise OSError("bad luck")
        return 1


@workflow(finally_=note.options(lost_retries=1_000).si())
def layered(seed: int) -> int:
    """Layers of `work`, with all kinds of steps beside them."""
    chance = random.Random(seed)
    above: list[Any] = [work.options(name="root")(seed)]
    for layer in range(chance.randint(1, 4)):
        above = [
            work(seed * 100 + layer * 10 + number, *chance.sample(above, min(len(above), chance.randint(1, 3))))
            for number in range(chance.randint(1, 6))
        ]
    beside: list[Any] = []
    if chance.random() < 0.5:
        beside.append(_patient(grow)(above[0]))
    if chance.random() < 0.5:
        beside.append(_patient(work).map(_patient(numbers)(chance.randint(0, 8))))
    if chance.random() < 0.3:
        beside.append(_patient(broken_once)(1))
    after = [_patient(bow_out).options(after=above)()] if chance.random() < 0.3 else []
    if chance.random() < 0.3:
        after.append(_patient(broken).options(may_fail=True, after=above)())
    return _patient(total).options(name="last", after=after, rule="all_done")(above, *beside)


@workflow(fail_fast=True, on_failure=note.options(lost_retries=1_000).si())
def doomed(seed: int) -> int:
    """Fails, sooner or later."""
    first = work(seed)
    return _patient(total)([work(seed + 1), _patient(broken).options(after=[first])(), work(seed + 2, first)])


def _patient(of: Any) -> Any:
    """A task whose steps are not parked, however many workers they lose: here that is chance, not poison."""
    return of.options(lost_retries=1_000)


@dataclass(frozen=True)
class Kind:
    """A workflow of the soak and how its runs may end."""

    workflow: Any
    ends: frozenset[str]


KINDS = (Kind(layered, frozenset({"succeeded"})), Kind(doomed, frozenset({"failed"})))
