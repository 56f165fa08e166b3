"""A process dies, or loses its connection, at every point of everything that it does with the database.

In this process: a strike raises. `test_kill` does the same to real processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from segue import Segue
from segue.client import Run
from segue.engine.control import cancel_run
from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.engine.turn_request import TurnRequest
from segue.errors import StoreError
from segue.model import RunStatus
from tests.crash import crash_tasks
from tests.crash.faults import COMMITTED, Died, FaultyStore, cut, deafen, die, lose
from tests.crash.ledger import Ledger
from tests.crash.working import (
    assert_ended_well,
    finish_after_a_death,
    forget_ended_runs,
    let_leases_run_out,
    work,
    work_in_spite_of,
)
from tests.thorough import IS_THOROUGH

pytestmark = pytest.mark.usefixtures("quick_retries")

FEWEST_POINTS = 100
GAPS = (1, 2, 3, 5, 8)


def points_of_work(segue: Segue, ledger: Ledger) -> list[str]:
    """The points of a whole run, from a worker's first word to its last."""
    for _ in range(2):  # the first worker writes down what the code defines as well
        counting = FaultyStore(segue.engine.store)
        run = segue.start(crash_tasks.rich)
        work(Engine(counting))
        assert (run.result(), run.status) == (crash_tasks.RICH_RESULT, RunStatus.SUCCEEDED)
        ledger.check(run)
        assert len(counting.points) > FEWEST_POINTS
        ledger.clear()
    return counting.points


def sampled(points: list[str], *, stride: int) -> Iterator[int]:
    """Numbers of points: every end of a transaction, and of the others one in `stride`; in `make proof` all of them."""
    for number, point in enumerate(points, 1):
        if IS_THOROUGH or point == COMMITTED or number % stride == 0:
            yield number


def check_and_forget(segue: Segue, ledger: Ledger, run_id: str, *, exactly: bool) -> None:
    run = segue.get(run_id)
    assert_ended_well(segue, run)
    assert run.result() == crash_tasks.RICH_RESULT
    ledger.check(run)
    began = ledger.began(run.id)
    if exactly:
        assert began == Counter(crash_tasks.RICH_EXECUTIONS)
    else:
        lost = Counter(attempt.step for attempt in run.attempts() if attempt.status == "lost")
        assert began.total() <= sum(crash_tasks.RICH_EXECUTIONS.values()) + lost.total()
        assert began >= Counter(crash_tasks.RICH_EXECUTIONS)
    ledger.clear()
    forget_ended_runs(segue)


def assert_nearly_all(struck: list[bool]) -> None:
    """A run that is quicker than the one counted takes fewer turns: the last points are missing then."""
    assert sum(struck) >= 0.8 * len(struck)


def test_a_worker_loses_its_connection_at_every_point(segue: Segue, ledger: Ledger) -> None:
    struck = []
    for number in sampled(points_of_work(segue, ledger), stride=7):
        run = segue.start(crash_tasks.rich)
        faulty = FaultyStore(segue.engine.store, lose, number)
        work_in_spite_of(faulty)
        struck.append(faulty.has_struck)
        check_and_forget(segue, ledger, run.id, exactly=True)
    assert_nearly_all(struck)


@pytest.mark.proof
def test_a_worker_loses_its_connection_twice(segue: Segue, ledger: Ledger) -> None:
    for number in sampled(points_of_work(segue, ledger), stride=19):
        for gap in GAPS if IS_THOROUGH else (GAPS[number % len(GAPS)],):
            run = segue.start(crash_tasks.rich)
            faulty = FaultyStore(segue.engine.store, lose, number, number + gap)
            work_in_spite_of(faulty)
            check_and_forget(segue, ledger, run.id, exactly=True)


def test_a_worker_dies_at_every_point(segue: Segue, ledger: Ledger) -> None:
    struck = []
    for number in sampled(points_of_work(segue, ledger), stride=7):
        run = segue.start(crash_tasks.rich)
        faulty = FaultyStore(segue.engine.store, die, number)
        try:
            work(Engine(faulty))
        except Died:
            assert faulty.has_struck
        struck.append(faulty.has_struck)
        finish_after_a_death(segue)
        check_and_forget(segue, ledger, run.id, exactly=False)
    assert_nearly_all(struck)


@pytest.mark.parametrize("sever", [cut, deafen])
def test_a_real_connection_breaks_at_every_point(
    postgres_url: str, ledger: Ledger, sever: Callable[[object], None]
) -> None:
    struck = []
    apart = f"{postgres_url}{'&' if '?' in postgres_url else '?'}application_name=apart"  # or both would share a pool
    with Segue(postgres_url) as segue, Segue(apart) as other:
        for number in sampled(points_of_work(segue, ledger), stride=11):
            run = segue.start(crash_tasks.rich)
            faulty = FaultyStore(other.engine.store, sever, number)  # whose connections nobody else uses
            work_in_spite_of(faulty)
            struck.append(faulty.has_struck)
            check_and_forget(segue, ledger, run.id, exactly=True)
    assert_nearly_all(struck)


# Acts of others -------------------------------------------------------------------------------------------------------


def every_point(segue: Segue, prepare: Callable[[], str], act: Callable[[Engine, str], object]) -> Iterator[str]:
    """Have `act` lose its connection, then die, at each of its points; yields the run after it was said again."""
    for strike in (lose, die):
        number = 0
        while True:
            number += 1
            run_id = prepare()
            faulty = FaultyStore(segue.engine.store, strike, number)
            try:
                act(Engine(faulty), run_id)
            except (Died, StoreError):
                act(segue.engine, run_id)
            yield run_id
            if not faulty.has_struck:
                assert number > 3
                break


def frozen(segue: Segue) -> str:
    """A run with three steps that a worker claimed before it froze."""
    run = segue.start(crash_tasks.rich)
    tasks = tuple(f"{crash_tasks.__name__}.{name}" for name in crash_tasks.RICH_EXECUTIONS)
    identity = WorkerIdentity(segue.engine.new_id(), "frozen", ("default",), tasks)
    segue.engine.register(identity, pool="none", concurrency=3, version="0")
    assert len(segue.engine.turn(identity, TurnRequest(want=10)).jobs) == 3
    return run.id


def test_a_start_breaks_at_every_point(segue: Segue, ledger: Ledger) -> None:
    keys = iter(range(10_000))

    def prepare() -> str:
        forget_ended_runs(segue)
        return str(next(keys))

    def start(engine: Engine, key: str) -> None:
        plan = crash_tasks.rich.plan()
        engine.start([(plan, f"{key}.{part}") for part in range(3)])

    for key in every_point(segue, prepare, start):
        work(segue.engine)
        runs = segue.runs()
        assert sorted(str(run.key) for run in runs) == [f"{key}.{part}" for part in range(3)]
        for run in runs:
            ledger.check(segue.get(run.id))
            assert ledger.began(run.id) == Counter(crash_tasks.RICH_EXECUTIONS)
        assert_ended_well(segue, segue.get(runs[0].id))
        ledger.clear()


def test_a_start_without_a_key_happens_once_when_its_answer_is_lost(segue: Segue, ledger: Ledger) -> None:
    faulty = FaultyStore(segue.engine.store)
    Engine(faulty).start([(crash_tasks.rich.plan(), None)])
    for number in range(1, len(faulty.points) + 1):
        faulty = FaultyStore(segue.engine.store, lose, number)
        forget_ended_runs(segue)
        before = {run.id for run in segue.runs()}
        ids = Engine(faulty).start([(crash_tasks.rich.plan(), None)])
        assert faulty.has_struck
        assert {run.id for run in segue.runs()} - before == set(ids)
        work(segue.engine)
        assert_ended_well(segue, segue.get(ids[0]))
        assert ledger.began(ids[0]) == Counter(crash_tasks.RICH_EXECUTIONS)


def test_a_cancel_breaks_at_every_point(segue: Segue, ledger: Ledger) -> None:
    for run_id in every_point(segue, lambda: frozen(segue), lambda engine, run_id: engine.act(cancel_run, run_id)):
        finish_after_a_death(segue)
        run = segue.get(run_id)
        assert_ended_well(segue, run, RunStatus.CANCELLED)
        assert ledger.began(run_id) == Counter({"note": 1})  # the finalizer
        ledger.clear()
        forget_ended_runs(segue)


def test_a_pause_and_a_resume_break_at_every_point(segue: Segue, ledger: Ledger) -> None:
    def pause(engine: Engine, run_id: str) -> None:
        assert Run(engine, run_id).pause(stop_running=True) == RunStatus.PAUSED

    def resume(engine: Engine, run_id: str) -> None:
        assert Run(engine, run_id).resume() == RunStatus.RUNNING

    def prepare() -> str:
        run_id = frozen(segue)
        pause(segue.engine, run_id)
        return run_id

    for run_id in every_point(segue, lambda: frozen(segue), pause):
        let_leases_run_out(segue.url)
        assert segue.engine.rescue() == 3
        work(segue.engine)  # finds nothing
        assert ledger.began(run_id) == Counter()
        assert segue.engine.broken_invariants() == []
        resume(segue.engine, run_id)
        work(segue.engine)
        check_and_forget(segue, ledger, run_id, exactly=True)
    for run_id in every_point(segue, prepare, resume):
        finish_after_a_death(segue)
        check_and_forget(segue, ledger, run_id, exactly=True)


def test_a_rescue_breaks_at_every_point(segue: Segue, ledger: Ledger) -> None:
    def prepare() -> str:
        run_id = frozen(segue)
        let_leases_run_out(segue.url)
        return run_id

    for run_id in every_point(segue, prepare, lambda engine, _: engine.rescue()):
        run = segue.get(run_id)
        assert [attempt.status for attempt in run.attempts()] == ["lost"] * 3
        work(segue.engine)
        check_and_forget(segue, ledger, run_id, exactly=True)


def test_a_prune_breaks_at_every_point(segue: Segue, ledger: Ledger) -> None:
    def prepare() -> str:
        run = segue.start(crash_tasks.rich)
        work(segue.engine)
        return run.id

    def prune(engine: Engine, _: str) -> None:
        forget_ended_runs(segue if engine is segue.engine else _with_engine(segue, engine))

    for _ in every_point(segue, prepare, prune):
        assert segue.runs() == []
        assert segue.engine.broken_invariants() == []


def _with_engine(segue: Segue, engine: Engine) -> Segue:
    other = Segue(segue.url)
    other.engine = engine
    return other


def test_a_failing_run_breaks_at_every_point(segue: Segue, ledger: Ledger) -> None:
    """Failing fast cancels what waits; the two hooks run once."""
    counting = FaultyStore(segue.engine.store)
    segue.start(crash_tasks.hasty)
    work(Engine(counting))
    for number in sampled(counting.points, stride=7):
        for strike in (lose, die):
            run = segue.start(crash_tasks.hasty)
            faulty = FaultyStore(segue.engine.store, strike, number)
            try:
                work_in_spite_of(faulty)
            except Died:
                finish_after_a_death(segue)
            assert_ended_well(segue, run, RunStatus.FAILED)
            ledger.check(run)
            done = Counter(name for _, name in ledger.lines("done", run.id))
            assert done["note[0]"] >= 1 <= done["note[1]"]
            if strike is lose:
                assert done["note[0]"] == done["note[1]"] == done["one"] == 1
            ledger.clear()
            forget_ended_runs(segue)
