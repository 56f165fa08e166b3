"""Measures whether a step costs the same in a large run, beside a long history, and beside many delayed steps.

Each figure is a ratio of times for the same work: in the full database against an empty one, alternating; in a large
run against a small one; at the end of a long chain against its beginning. 1 is flat.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from segue.bench.growth import DELAYED, FINISHED, fill
from segue.bench.scratch import Site
from segue.bench.setting import Setting, WorkerChoice, ground_at
from segue.bench.tasks import line
from segue.bench.timestamps import check_chain
from segue.bench.workloads import Figure, Sizes, one_chain, one_drain, one_fan, per_step_ms

SHARE = 10  # a large run has this many times the steps of the small one


def flat(site: Site, worker: WorkerChoice, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """Measure all of them. Creates its own settings, because it compares two."""
    with ground_at(site, worker) as empty:
        yield from _large_runs(empty, sizes)
    for what in (FINISHED, DELAYED):
        with ground_at(site, worker) as empty, ground_at(site, worker) as full:
            fill(full.scratch, what, sizes.filling)
            yield from beside(empty, full, f"{sizes.filling:,} {what}", sizes, repeat or 5)


def _large_runs(setting: Setting, sizes: Sizes) -> Iterator[Figure]:
    setting.warm_up()
    small, large = sizes.largest_fan // SHARE, sizes.largest_fan
    times = {}
    for width in (small, large):
        figures = list(one_fan(setting, width))
        yield from figures
        times[width] = figures[0][2] / (width + 2)
    yield f"a step of {large:,} side by side, against {small:,}", "×", times[large] / times[small]
    number = setting.next_run()
    count, share = sizes.longest_chain, sizes.longest_chain // SHARE
    run = setting.segue.start(line(number, count))
    marks = setting.marks(number, count, timeout_seconds=120 + count / 100)
    check_chain(marks)
    setting.wait_for_end([run])
    yield f"chain of {count:,}, per step", "ms", per_step_ms(marks)
    yield f"the last {share:,} steps of a chain of {count:,}, against the first", "×", (
        per_step_ms(marks[-share:]) / per_step_ms(marks[:share])
    )  # fmt: skip


def beside(empty: Setting, full: Setting, what: str, sizes: Sizes, repeat: int) -> Iterator[Figure]:
    """Measure chains and drains in a database full of `what`, and in an empty one, alternating.

    Only one worker runs at a time.
    """
    chains: dict[Setting, list[float]] = {empty: [], full: []}
    drains: dict[Setting, list[float]] = {empty: [], full: []}
    for _ in range(repeat):
        for setting in (empty, full):
            setting.warm_up()
            chains[setting] += [next(one_chain(setting, sizes.chain))[2] for _ in range(2)]
            drains[setting].append(1 / next(one_drain(setting, sizes.drain))[2])
    yield f"chain beside {what}, per step", "ms", median(chains[full])
    yield f"chain beside {what}, against an empty database", "×", median(chains[full]) / median(chains[empty])
    yield f"drain beside {what}", "/s", 1 / median(drains[full])
    yield f"drain beside {what}, against an empty database", "×", median(drains[full]) / median(drains[empty])
