"""What limits cost: steps without a limit beside many that wait for a place, and steps that have a limit.

All figures are ratios against the same work in a database without limits, alternating.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from segue.bench.flatness import beside
from segue.bench.scratch import Site
from segue.bench.setting import Setting, WorkerChoice, ground_at
from segue.bench.tasks import HELD, held, roomy, single
from segue.bench.workloads import Figure, Sizes, one_drain


def limits(site: Site, worker: WorkerChoice, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """Measure all of them. Creates its own settings, because it compares two."""
    with ground_at(site, worker) as free, ground_at(site, worker) as full:
        yield from _with_a_limit(free, sizes, repeat or 5)
        full.segue.limits.set(HELD, concurrency=0)
        number = full.next_run()
        full.segue.start_many(held, [(number, node) for node in range(sizes.held)])
        yield from beside(free, full, f"{sizes.held:,} steps that wait for a limit", sizes, repeat or 5)


def _with_a_limit(setting: Setting, sizes: Sizes, repeat: int) -> Iterator[Figure]:
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(repeat):
        for which, task in (("without", single), ("with", roomy)):
            seconds[which].append(1 / next(one_drain(setting, sizes.drain, task))[2])
    yield f"drain of {sizes.drain:,} tasks that have a limit with room", "/s", 1 / median(seconds["with"])
    yield "a task that has a limit with room, against one without", "times", (
        median(seconds["with"]) / median(seconds["without"])
    )  # fmt: skip
