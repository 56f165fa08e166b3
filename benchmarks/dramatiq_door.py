"""Measures workflows on Dramatiq through Segue beside dramatiq-workflow and plain Dramatiq.

    .venv-peers/bin/python -m benchmarks.dramatiq_door            # everything, with 5 rounds
    .venv-peers/bin/python -m benchmarks.dramatiq_door --quick    # small numbers: does it work?

`make peers` makes `.venv-peers`, in which dramatiq-workflow is. The program starts PostgreSQL (with fsync) and a Redis
on private ports. Each system has a worker of its own (two processes, eight threads), which stays, and a client. Each
is measured right beside dramatiq-workflow, and for messages in no workflow beside plain Dramatiq.
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

PROJECT = "benchmarks.dramatiq_door_project"
WORKFLOW, PLAIN = "dramatiq-workflow", "plain Dramatiq"
NAMES = (WORKFLOW, PLAIN, "Segue, SQLite", "Segue, PostgreSQL")
WORKS = (
    Work("chain", 40, "chain of 40, per step", 3, {"Segue": 0.75}),
    Work("fan", 1_000, "task, then group of 1,000, then task", 1, {"Segue": 0.7}),
    Work("diamonds", 500, "500 diamonds", 1, {"Segue": 1.0}),
    Work("lone", 2_000, "2,000 messages in no workflow", 1, {"Segue": 1.02}, base=1),
    Work("fan", 10_000, "task, then group of 10,000, then task", 1, {"Segue": 0.7}),
)  # fmt: skip
MEMORY = Memory("messages of a group of 10,000, memory", 0.5, is_ratio=False)


@contextmanager
def systems(wanted: list[str], arguments: list[str]) -> Iterator[tuple[list[System], str]]:
    """Start the servers and the systems; yields the URL of the broker, too."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-dramatiq-")))
        broker = stack.enter_context(redis_server())
        found: list[System] = []
        for number, name in enumerate(wanted):
            own = folder / f"system-{number}"
            own.mkdir()
            settings = {"DOOR_BROKER": f"{broker}/{number}", "DOOR_SYSTEM": name}
            if name.startswith("Segue"):
                server = stack.enter_context(postgres_server()) if "PostgreSQL" in name else None
                settings["DOOR_DATABASE"] = stack.enter_context(Site(server).scratch()).url
                with Segue(settings["DOOR_DATABASE"]) as segue:
                    segue.upgrade()
            worker = ["-m", "dramatiq", PROJECT, "--processes", "2", "--threads", "8", *arguments]
            found.append(
                System(name, settings, own, worker=worker, client=PROJECT, ready="ready for action", times=2)
            )  # fmt: skip
            stack.callback(found[-1].close)
        for system in found:
            system.wait()
        yield found, broker


if __name__ == "__main__":
    run("python -m benchmarks.dramatiq_door", __doc__ or "", NAMES, WORKS, MEMORY, systems)
