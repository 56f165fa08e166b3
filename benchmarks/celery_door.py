"""Measures canvases on Celery through Segue beside the same canvases on plain Celery.

    python -m benchmarks.celery_door                       # everything, with 5 rounds; takes a quarter of an hour
    python -m benchmarks.celery_door --quick               # small numbers: does it work?
    python -m benchmarks.celery_door --only chain --rounds 20

It starts PostgreSQL (with fsync) and two Redis servers, for messages and for results, on private ports. Each system has
a worker of its own (prefork, two children), which stays, and a client. Each is measured right beside plain Celery, in
turns, so that other load on the machine affects both; the table has the median of these ratios, and where the middle
half of them lies. The line of tasks in no canvas shows how much a figure means: the same code runs there everywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.doors import Memory, System, Work, run
from benchmarks.peers.servers import postgres_server, redis_server
from segue import Segue
from segue.bench.scratch import Site

PROJECT = "benchmarks.celery_door_project"
PLAIN = "plain Celery"
NAMES = (PLAIN, *(f"{database}, {fence}" for database in ("SQLite", "PostgreSQL") for fence in ("suspect", "always")))
WORKS = (
    Work("chain", 40, "chain of 40, per step", 3, {
        "SQLite, suspect": 1.15, "SQLite, always": 1.3, "PostgreSQL, suspect": 1.3, "PostgreSQL, always": 1.5,
    }),
    Work("chord", 1_000, "chord of 1,000", 1, {"": 0.9}),
    Work("fan", 1_000, "task, then chord of 1,000", 1, {"": 0.9}),
    Work("diamonds", 500, "500 diamonds", 1, {"": 1 / 1.2}),
    Work("lone", 2_000, "2,000 tasks in no canvas", 1, {"": 1.02}),
    Work("chord", 10_000, "chord of 10,000", 1, {"": 0.9}),
)  # fmt: skip
MEMORY = Memory("messages of a chord of 10,000, memory", 0.3, is_ratio=True)


@contextmanager
def systems(wanted: list[str], arguments: list[str]) -> Iterator[tuple[list[System], str]]:
    """Start the servers and the systems; yields the URL of the broker, too."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-celery-")))
        broker, results = stack.enter_context(redis_server()), stack.enter_context(redis_server())
        sites = {"SQLite": Site(None)}
        if any("PostgreSQL" in name for name in wanted):
            sites["PostgreSQL"] = Site(stack.enter_context(postgres_server()))
        found: list[System] = []
        for number, name in enumerate(wanted):
            own = folder / f"system-{number}"
            own.mkdir()
            settings = {"DOOR_BROKER": f"{broker}/{number}", "DOOR_RESULTS": f"{results}/{number}"}
            if name != PLAIN:
                database, _, fence = name.partition(", ")
                settings["DOOR_DATABASE"] = stack.enter_context(sites[database].scratch()).url
                settings["DOOR_FENCE"] = fence
                with Segue(settings["DOOR_DATABASE"]) as segue:
                    segue.upgrade()
            celery = ["-m", "celery", "-A", PROJECT, "worker", "--concurrency", "2", "--loglevel", "INFO"]
            quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-n", f"{own.name}@%h"]
            found.append(
                System(name, settings, own, worker=[*celery, *quiet, *arguments], client=PROJECT, ready=" ready.")
            )
            stack.callback(found[-1].close)
        for system in found:
            system.wait()
        yield found, broker


if __name__ == "__main__":
    run("python -m benchmarks.celery_door", __doc__ or "", NAMES, WORKS, MEMORY, systems)
