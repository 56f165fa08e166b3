"""Several claim at once, on connections of their own: limits hold at every moment, and everything gets done."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

from segue.model import Job
from segue.plan.graph import Node
from segue.plan.lanes import read_lane
from tests.contract.limiting import define, fair, limited, use
from tests.contract.stage import Stage, node, plan, succeeded

WORKERS = 4
SECONDS = 60.0


def work(stage: Stage, *nodes: Node, want: int = 3) -> list[str]:
    """Let workers race until all of these steps are done; returns their names in the order in which they started."""
    stage.start(plan(*nodes))
    workers = [stage.hire(f"w{number}") for number in range(WORKERS)]
    together, done = Barrier(WORKERS), Event()
    started: list[str] = []
    give_up_at = time.monotonic() + SECONDS

    def act(number: int) -> None:
        together.wait()
        jobs: list[Job] = []
        while not done.is_set():
            assert time.monotonic() < give_up_at, f"{len(started)} of {len(nodes)} were started"
            # Half of what it has goes on running, so that places are held across turns.
            ending, jobs = jobs[: len(jobs) // 2 + 1], jobs[len(jobs) // 2 + 1 :]
            result = stage.turn(*[succeeded(job) for job in ending], by=workers[number], want=want)
            started.extend(job.name for job in result.jobs)
            jobs += result.jobs
            if not jobs and len(started) >= len(nodes):
                done.set()

    with ThreadPoolExecutor(WORKERS + 1) as threads:
        watching = threads.submit(_watch, stage, done)
        acts = [threads.submit(act, number) for number in range(WORKERS)]
        try:
            for each in acts:
                each.result()
        finally:
            done.set()
        watching.result()
    return started


def _watch(stage: Stage, done: Event) -> None:
    """Count what is taken, in one look after another: none may show more than there is."""
    with stage.engine.reading() as tx:
        sizes = {row[0]: row[1] for row in tx.all("list_limits")}
    while not done.is_set():
        with stage.engine.reading() as tx:
            rows = tx.all("taken_by_all")
        taken: Counter[tuple[str, str]] = Counter()
        for queue, _, lane, count in rows:
            taken["queue:" + queue, ""] += count
            for needed in read_lane(lane).uses if lane else ():
                taken[needed.limit, needed.key] += needed.cost * count
        for (name, key), count in taken.items():
            assert name not in sizes or count <= sizes[name], f"{name}[{key}] has {count} of {sizes[name]}"


def test_a_limit_is_never_exceeded(stage: Stage) -> None:
    define(stage, "api", concurrency=3)
    nodes = [limited(f"s{number}", "api") for number in range(200)]
    assert sorted(work(stage, *nodes)) == sorted(each.name for each in nodes)


def test_keys_costs_and_several_limits_are_never_exceeded(stage: Stage) -> None:
    define(stage, "api", concurrency=5)
    define(stage, "customer", concurrency=2)
    needs = [(use("api", cost=n % 3 + 1), use("customer", f"{n % 7}")) for n in range(150)]
    assert len(work(stage, *[limited(f"s{number}", *each) for number, each in enumerate(needs)])) == 150


def test_a_limit_of_a_queue_is_never_exceeded_by_plain_steps_and_lanes(stage: Stage) -> None:
    define(stage, "queue:default", concurrency=4)
    nodes = [node(f"plain{n}") for n in range(80)] + [fair(f"a{n}", f"{n % 3}") for n in range(80)]
    assert len(work(stage, *nodes)) == 160


def test_a_rate_is_never_exceeded(stage: Stage) -> None:
    define(stage, "mail", rate=10.0, period=10.0, burst=7.0)
    stage.start(plan(*[limited(f"s{number}", "mail") for number in range(30)]))
    workers = [stage.hire(f"w{number}") for number in range(WORKERS)]
    started: list[Job] = []
    for seconds, most in ((0.0, 7), (2.0, 9), (3.0, 12), (20.0, 19)):
        stage.advance(seconds)
        for worker in workers:
            stage.turn(by=worker, heartbeat="running")
        with ThreadPoolExecutor(WORKERS) as threads:
            for _ in range(5):  # who met another in the act tries again
                for jobs in threads.map(lambda worker: stage.turn(by=worker, want=5).jobs, workers):
                    started += jobs
        assert len(started) == most


def test_turns_are_counted_though_many_write_them_at_once(stage: Stage) -> None:
    started = work(stage, *[fair(f"{key}{number}", key) for key in "abc" for number in range(60)], want=4)
    assert len(started) == 180
    third = Counter(name[0] for name in started[:90])
    assert max(third.values()) - min(third.values()) <= 15
