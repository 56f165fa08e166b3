"""Measures steps that are pushed to a Slurm cluster, with real slurmctld and slurmd of this machine.

    python -m benchmarks.push                      # both databases, 10,000 steps
    python -m benchmarks.push --steps 1000         # does it work?
    python -m benchmarks.push --only SQLite

    hand-out    one run with so many steps: from its start until the cluster has a job for each; the jobs are held
    look        one look at all of them without news: all of it, and the database's part
    idle        processors that a dispatcher uses which looks every 5 seconds and sees no news
    next        from the end of a job until the next job of its chain is submitted, without the wait for the look

Times of a machine that does something else mean little, so the time of the dispatcher's processor is given, too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

from msgspec.structs import replace

from benchmarks.peers.servers import postgres_server
from segue import Segue, task
from segue.bench.scratch import Site
from segue.dispatcher.dispatcher import FIRST_ID, Dispatcher
from segue.dispatcher.registry import register
from segue.engine import pushing
from segue.executors.slurm import PACE, Slurm
from segue.plan.graph import Node, Plan
from segue.testing import ScriptedPlatform
from tests.servers.slurm import running_slurm

LOOK_SECONDS = 5.0
LOOKS = 10  # of which the shortest counts
CHAIN = 20


@task
def nothing(number: int) -> int:
    """Never runs: its jobs are held."""
    return number


def flow(steps: int) -> Plan:
    """Steps without edges, as a map makes them."""
    nodes = tuple(
        Node(f"n{number}", nothing.name, queue="@hpc", executor="hpc", args=f"[[{number}],{{}}]",
             spec='{"options":{"sbatch":["--hold"]}}')
        for number in range(steps)
    )  # fmt: skip
    return Plan("flow", nodes)


class Clock:
    """Wall and processor time of a block."""

    def __enter__(self) -> Clock:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu


def measure(segue: Segue, cluster: Slurm, steps: int) -> Iterator[str]:
    """The figures of one database."""
    dispatcher = Dispatcher(segue.engine, cluster)
    run = segue.start(flow(steps))
    with Clock() as handing:
        while count(segue, cluster) < steps:
            dispatcher.run_once(looks=False)
    yield f"hand-out  {steps / handing.wall:7.0f} steps/s  ({handing.wall:.2f} s, processor {handing.cpu:.2f} s)"
    dispatcher.run_once()  # the first look has news: every job waits
    looks = []
    for _ in range(LOOKS):
        with Clock() as looking:
            moved = dispatcher.run_once()
        assert moved == 0
        looks.append(looking)
    reading = min(timed(lambda: count(segue, cluster)) for _ in range(LOOKS))
    wall, cpu = (min(getattr(each, name) for each in looks) for name in ("wall", "cpu"))
    parts = f"processor {cpu * 1000:.0f} ms, rows of the database {reading * 1000:.0f} ms"
    yield f"look      {wall * 1000:7.0f} ms  ({parts})"
    yield f"idle      {cpu / LOOK_SECONDS:7.3f} processors, looking every {LOOK_SECONDS:g} s"
    with Clock() as ending:
        run.cancel()
        while not run.status.is_final:
            dispatcher.run_once()
    yield f"cancel    {steps / ending.wall:7.0f} steps/s  ({ending.wall:.2f} s, processor {ending.cpu:.2f} s)"


def count(segue: Segue, cluster: Slurm) -> int:
    """How many jobs the cluster has, as a look reads them."""
    with segue.engine.reading() as tx:
        return len(pushing.accepted_pushes(tx, segue.engine.stored(cluster.name), after=FIRST_ID, limit=20_000))


def timed(do: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def next_of_chain(segue: Segue) -> Iterator[str]:
    """From the look that sees the end of a job to the submission of the next."""
    far = ScriptedPlatform("far", pace=replace(PACE, look_seconds=0.3))
    register(far)
    nodes = tuple(
        Node(f"c{number}", nothing.name, queue="@far", executor="far", args="[[1],{}]",
             parents=(number - 1,) if number else ())
        for number in range(CHAIN)
    )  # fmt: skip
    calls: list[tuple[str, float]] = []
    far.on_call = lambda what: calls.append((what, time.perf_counter()))
    is_over = threading.Event()
    thread = threading.Thread(target=Dispatcher(segue.engine, far).run, args=(is_over,))
    segue.start(Plan("chain", nodes))
    thread.start()
    for done in range(CHAIN):
        while len(far.submitted) == done:
            time.sleep(0.001)
        while not far.alive():
            time.sleep(0.001)
        far.succeed(far.alive()[0])
    is_over.set()
    thread.join()
    found = []
    for (what, at), (before, looked_at) in zip(calls[1:], calls, strict=False):
        if what == "submit" and before == "collect":
            found.append(at - looked_at)
    yield f"next      {statistics.median(found) * 1000:7.0f} ms after the look  (longest {max(found) * 1000:.0f} ms)"


@contextmanager
def databases(wanted: list[str]) -> Iterator[dict[str, Site]]:
    """A place for databases of each kind."""
    with ExitStack() as stack:
        made = {"SQLite": lambda: Site(None), "PostgreSQL": lambda: Site(stack.enter_context(postgres_server()))}
        yield {name: made[name]() for name in wanted}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push", description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--only", choices=("SQLite", "PostgreSQL"))
    options = parser.parse_args()
    wanted = [options.only] if options.only else ["SQLite", "PostgreSQL"]
    with running_slurm() as server, databases(wanted) as sites:
        for name, site in sites.items():
            with site.scratch() as scratch, tempfile.TemporaryDirectory() as folder, Segue(scratch.url) as segue:
                segue.upgrade()
                pace = replace(PACE, window=100_000, look_seconds=LOOK_SECONDS)
                cluster = Slurm("hpc", folder=str(Path(folder)), slurm_conf=server.conf, pace=pace)
                for line in chain(measure(segue, cluster, options.steps), next_of_chain(segue)):
                    sys.stdout.write(f"{name:<11} {line}\n")
                    sys.stdout.flush()
            server.ask("scancel", "--me")


if __name__ == "__main__":
    main()
