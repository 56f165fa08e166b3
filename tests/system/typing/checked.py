"""Code of a user, as type checkers see it. It is checked, and never run.

`# E` marks a line on which both mypy and pyright must report an error, `# E pyright` one on which only pyright can.
They must report none on any other line.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

import dramatiq

from segue import Outcome, Run, RunOutcome, Segue, Task, chain, group, on, shell, sleep, task, wait_for, workflow
from segue.executors.dramatiq import Chain as DramatiqChain
from segue.executors.dramatiq import step

segue = Segue("sqlite:///never.db")


@task
def ids(n: int) -> list[int]:
    return list(range(n))


@task(retries=3, timeout=60)
def fetch(url: str, tries: int = 3) -> bytes:
    return url.encode() * tries


@task
async def ask(url: str) -> bytes:
    return url.encode()


@task
def double(x: int) -> int:
    return 2 * x


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@task
def report(found: list[Outcome[int]]) -> list[str]:
    return [each.error.message for each in found if each.error]


@task
def tidy(how: RunOutcome) -> None:
    print(how.argument("n"), how.status)  # noqa: T201


@workflow(finally_=tidy.s())
def flow(n: int, *, label: str = "") -> int:
    return total(double.map(ids(n)))


# Starting

assert_type(segue.start(flow, 3), Run[int])
assert_type(segue.start(flow, 3, label="x", key="k").result(), int)
assert_type(segue.start(fetch, "a", tries=2).wait(60).result(), bytes)
assert_type(segue.run(flow, 3), int)
assert_type(segue.run(ask, "a", key="k"), bytes)
assert_type(segue.start_many(flow, [(1,), (2,)])[0].result(), int)
run: Run = segue.get("0123")
segue.start(flow, "three")  # E
segue.start(flow)  # E
segue.start(flow, 3, lable="x")  # E
segue.start(lambda n: n, 3)  # E
segue.start(flow, 3, deadline="soon")  # E
segue.run(fetch, 1, tries=2)  # E
segue.run(fetch, "a", bas="x")  # E

# Signatures, chains, groups

assert_type(segue.run(fetch.s("a", 2)), bytes)
assert_type(segue.run(chain(ids.s(3), double.map(), total.s())), int)
assert_type(segue.run(chain(ids.s(3), total)), int)
assert_type(segue.run(ids.s(3) | total.s()), int)
assert_type(segue.run(group(double.s(1), double.s(2))), list[int])
assert_type(segue.run(group(double.s(n) for n in range(3))), list[int])
assert_type(segue.run(double.map([1, 2])), list[int])
assert_type(segue.run(flow.s(3)), int)
chain(*[double.s(1), double.s()])
chain([double.s(1), double.s()])
fetch.map(["a"], ["b"])  # E
fetch.s(tries=2)
fetch.s("a", 3, 4)  # E
fetch.si(3)  # E
chain(fetch.s("a"), print)  # E
group(fetch("a"), fetch("b"))  # E
fetch.map(3)  # E
fetch.map([1])  # E pyright
fetch.options(quee="x")  # E
task(retires=3)  # E


# In a workflow


@workflow
def inside(n: int) -> int:
    first = ids(n)
    page = ask("https://example.org")
    packed = shell("gzip {path}", path=page)
    answer = wait_for("approved", timeout=timedelta(days=2), default={"ok": False})
    later = sleep(until=datetime(2027, 1, 1, tzinfo=UTC))
    fetch.options(after=[first, later], when=answer["ok"])("a")
    fetch.options(after=packed)(packed["output"])
    report(double.map(first, errors=True))
    report(double.map(first))  # E
    total(fetch("a"))  # E
    total(double.map(first, batch="ten"))  # E
    wait_for(3)  # E
    wait_for("approved", timeout="2 days")  # E
    sleep("soon")  # E
    shell(["gzip", "x"])  # E
    return total(first)


# Others


@on("run.failed", "*.late_end")
def seen(event: Any) -> None: ...


on("run.faild")  # E
other: Task[[int], int] = double
fetch.delay("a")  # E
run.results()  # E
run.pause(resaon="x")  # E


# Work of other libraries


@dramatiq.actor
def resize(width: int) -> int:
    return width


assert_type(segue.start(resize.message(640), key="k"), Run[Any])
segue.start(resize.message(640) | resize.message(1280))
segue.start(DramatiqChain(resize.message(640), resize.message(1280)))
segue.start(step(resize.message(640)))
chain(resize.message(640), double.s(1))
group(resize.message(640), resize.message(1280))
