"""Tasks that write down what they did, and workflows that use everything a workflow can have.

Each execution of a task leaves a line "run step attempt name began" and, when it got so far, one with "done" or
"broke". Lines are appended with one write each, so that whoever is killed leaves whole lines.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segue import Skip, chain, current, group, task, workflow

LEDGER = "CRASH_LEDGER"  # the environment variable that names the file
AT_ONCE = {"retries": 2, "retry_delay": 0.0}


def write(word: str) -> None:
    me = current()
    line = f"{me.run_id} {me.step} {me.attempt} {me.name} {word}\n".encode()
    file = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)


@contextmanager
def recorded() -> Iterator[None]:
    write("began")
    try:
        yield
    except BaseException:
        write("broke")
        raise
    write("done")


@task
def one() -> int:
    with recorded():
        return 1


@task
def add(number: int, more: int = 1) -> int:
    with recorded():
        return number + more


@task
def numbers(count: int) -> list[int]:
    with recorded():
        return list(range(count))


@task
def total(*parts: Any) -> int:
    with recorded():
        return sum(sum(part) if isinstance(part, list) else part or 0 for part in parts)


@task(**AT_ONCE)
def broken_once(number: int) -> int:
    with recorded():
        if current().failures == 0:
            raise OSError("the first try breaks")
        return number


@task
def broken() -> None:
    with recorded():
        raise ValueError("it always breaks")


@task
def bow_out() -> None:
    write("began")
    write("done")
    raise Skip("nothing to do")


@task
def note(*_: Any) -> int:
    with recorded():
        return 0


@task
def grow(number: int) -> Any:
    """Replaced by a chain that ends in a group."""
    with recorded():
        return chain(add.s(number), group(add.s(10), add.s(20)), total.s())


@workflow(on_success=note.s(), on_failure=note.s(), finally_=note.si())
def rich(count: int = 3) -> int:
    """A chain, a group with its join, a map over a result, an expansion, a retry, a skip, a condition, hooks."""
    first = one()
    grown = grow(first)
    mapped = add.map(numbers(count), more=5)
    tried = broken_once(first)
    skipped = bow_out.options(after=[first])()
    unharmed = note.options(after=[skipped], rule="none_failed")()
    no = note.options(name="no")()
    unwanted = note.options(name="unwanted", when=no)()
    tolerated = broken.options(name="tolerated", may_fail=True, after=[first])()
    return total.options(name="last", after=[unharmed, tolerated, unwanted], rule="all_done")(grown, mapped, tried)


RICH_RESULT = (1 + 1 + 10) + (1 + 1 + 20) + (5 + 6 + 7) + 1
RICH_EXECUTIONS = {
    "one": 1, "grow": 1, "numbers": 1, "broken_once": 2, "bow_out": 1, "no": 1, "note": 3, "tolerated": 1, "last": 1,
    "add": 6, "total": 1,
}  # fmt: skip
"""How often each is executed when nothing is lost; members of maps and groups, and hooks, are under their task."""


@workflow(fail_fast=True, on_failure=note.s(), finally_=note.si())
def hasty() -> int:
    """Fails fast while other branches wait."""
    first = one()
    return total(broken.options(after=[first])(), add(first), add(first))


@task(timeout=60)
def nap(seconds: float) -> int:
    with recorded():
        time.sleep(seconds)
        return 1


@task(timeout=60)
def wait_for(path: str) -> int:
    """Ends when the file is there."""
    with recorded():
        while not Path(path).exists():
            time.sleep(0.01)
        return 1


@workflow
def naps(count: int, seconds: float) -> int:
    return total([nap(seconds) for _ in range(count)])


@workflow
def gates(paths: list[str]) -> int:
    """One step for each file, which ends when that is there; then a join."""
    return total([wait_for(path) for path in paths])


@task(retries=1, retry_delay=0.0)
def kill_child() -> None:
    with recorded():
        os.kill(os.getpid(), signal.SIGKILL)


@task(lost_retries=1)
def kill_zygote() -> None:
    with recorded():
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)


@task(lost_retries=1)
def kill_worker(worker_pid_file: str) -> None:
    with recorded():
        os.kill(int(Path(worker_pid_file).read_text()), signal.SIGKILL)
        time.sleep(60)
