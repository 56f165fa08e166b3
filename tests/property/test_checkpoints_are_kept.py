"""Any program of checkpoints, sleeps, waits and branches, disturbed anywhere, has the result of an undisturbed one.

A program is a list of instructions that the task interprets; what it does next may depend on recorded values only. The
task fails, or is given to another worker while it runs; its run is paused; time passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue import Run, Segue, checkpoint, sleep, task, wait_for
from segue.testing import Workbench
from tests.crash.working import let_leases_run_out

Instruction = tuple[Any, ...]

PROGRAM: list[Instruction] = []
BREAKS: list[tuple[int, str]] = []
"""After how many instructions the next attempts are disturbed, and how, the first one first."""

URL: list[str] = []

CALLS: list[str] = []


def compute(name: str, value: int) -> int:
    CALLS.append(name)
    return value * 7 % 11


@task(name="kept.interpret", retries=100, retry_delay=0, lost_retries=100)
def interpret() -> list[Any]:
    done = 0
    found: list[Any] = []
    after, how = BREAKS.pop(0) if BREAKS else (0, "")
    for number, (kind, *told) in enumerate(PROGRAM):
        if kind == "loop":
            for turn in range(told[0]):
                found.append(checkpoint(f"{number}.{turn}", compute, f"{number}.{turn}", len(found)))
                done += 1
                if done == after:
                    disturbed(how)
        elif kind == "branch":
            if sum(value for value in found if isinstance(value, int)) % 2:
                found.append(checkpoint(f"{number} odd", compute, f"{number} odd", told[0]))
        elif kind == "sleep":
            sleep(told[0])
        else:
            found.append(wait_for(told[0], timeout=told[1], default=None))
        done += 1
        if done == after:
            disturbed(how)
    return found


def disturbed(how: str) -> None:
    """Fail; or let another worker have the step, while this attempt goes on without knowing it."""
    if how == "fail":
        raise OSError("disturbed")
    let_leases_run_out(URL[0])
    with Segue(URL[0]) as other:
        other.engine.rescue()


programs = st.lists(
    st.one_of(
        st.tuples(st.just("loop"), st.integers(0, 3)),
        st.tuples(st.just("branch"), st.integers(0, 5)),
        st.tuples(st.just("sleep"), st.sampled_from([0, 5, 60])),
        st.tuples(st.just("wait"), st.sampled_from("xy"), st.sampled_from([10, 50])),
    ),
    min_size=1,
    max_size=7,
)
disturbances = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.sampled_from([1, 5, 30])),
        st.just(("pause",)), st.just(("resume",)),
    ),
    max_size=6,
)  # fmt: skip


breaks = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["fail", "fail", "steal"])), max_size=3)


@pytest.fixture
def bench(sqlite_url: str) -> Iterator[Workbench]:
    URL[:] = [sqlite_url]
    with Workbench(sqlite_url) as made:
        yield made


def undisturbed(program: list[Instruction], sent: list[str]) -> list[Any]:
    """The result, worked out in plain Python: all messages are there from the beginning."""
    left = list(enumerate(sent))
    found: list[Any] = []
    for kind, *told in program:
        if kind == "loop":
            for _ in range(told[0]):
                found.append(len(found) * 7 % 11)
        elif kind == "branch" and sum(value for value in found if isinstance(value, int)) % 2:
            found.append(told[0] * 7 % 11)
        elif kind == "wait":
            mine = next((each for each in left if each[1] == told[0]), None)
            found.append(None if mine is None else mine[0])
            if mine is not None:
                left.remove(mine)
    return found


@settings(max_examples=max(settings.default.max_examples // 2, 1))
@given(
    program=programs, breaks=breaks, sent=st.lists(st.sampled_from("xy"), max_size=4),
    disturbing=disturbances,
)  # fmt: skip
def test_the_result_is_that_of_an_undisturbed_program(
    bench: Workbench,
    program: list[Instruction],
    breaks: list[tuple[int, str]],
    sent: list[str],
    disturbing: list[Instruction],
) -> None:
    PROGRAM[:], BREAKS[:] = program, list(breaks)
    CALLS.clear()
    run = bench.segue.start(interpret)
    for number, name in enumerate(sent):
        run.send(name, number)
    bench.work()
    for disturbance in disturbing:
        disturb(bench, run, disturbance)
    if run.status == "paused":
        run.resume()
    bench.finish(run)
    assert run.result() == undisturbed(program, sent)
    stolen = sum(how == "steal" for _, how in breaks)
    assert len(CALLS) - len(set(CALLS)) <= stolen, "a function was called again whose result had been recorded"
    names = [record.name for record in run.step(0).checkpoints() if record.kind == "checkpoint"]
    assert names == list(dict.fromkeys(CALLS))
    assert bench.segue.engine.broken_invariants() == []


def disturb(bench: Workbench, run: Run, disturbance: Instruction) -> None:
    match disturbance:
        case ("pass", seconds):
            bench.advance(seconds=seconds)
        case ("pause",) if not run.status.is_final and run.status != "paused":
            run.pause()
        case ("resume",) if run.status == "paused":
            run.resume()
        case _:
            pass
    bench.work()
