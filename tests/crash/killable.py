"""Processes that kill themselves with SIGKILL at the n-th point of what they do.

``python -m tests.crash.killable`` imports everything once and forks a child for each line "URL ACT NUMBER ARGUMENT" on
its input; it answers with the child's exit code, -9 for one that was killed. A child without a point left ends with 0.
Instead of the number a point may be named.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Self

from segue.engine.control import cancel_run
from segue.engine.engine import Engine
from segue.store import open_store
from tests.crash import booking_tasks, crash_tasks  # noqa: F401 - its tasks are worked, too
from tests.crash.faults import FaultyStore, kill
from tests.crash.working import work

ACTS = {
    "work": lambda engine, _: work(engine),
    "work-in": lambda engine, pool: work(engine, pool),
    "rescue": lambda engine, _: engine.rescue(),
    "start": lambda engine, key: engine.start([(crash_tasks.rich.plan(), key)]),
    "cancel": lambda engine, run_id: engine.act(cancel_run, run_id),
}


class KillableProcesses:
    """The forking process, as the tests see it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.killable"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.communicate()

    def is_killed_at(self, number: int | str, url: str, act: str, argument: str = "-") -> bool:
        """Have a process do `act`; False when it ended before it came to point `number`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{url} {act} {number} {argument}\n")
        self._process.stdin.flush()
        exit_code = int(self._process.stdout.readline())
        assert exit_code in (0, -9)
        return exit_code == -9


def main() -> None:
    for line in sys.stdin:
        url, act, number, argument = line.split()
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)
            ACTS[act](Engine(FaultyStore(open_store(url), kill, int(number) if number.isdigit() else number)), argument)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
