"""A process dies, or loses its connection, while it works with long values: none is lost, or deleted while in use."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from segue import Segue
from segue.authoring import declared
from segue.engine.engine import Engine
from segue.engine.payload_uses import count_payloads
from segue.errors import StoreUnavailableError
from segue.payloads import FilePayloads
from segue.payloads.address import payloads_of
from segue.scheduler.payload_sweep import sweep_batch
from segue.worker.launch import make_worker
from segue.worker.options import WorkerOptions
from segue.worker.pool.inline import InlinePool
from segue.worker.worker import Worker
from tests.crash import payload_tasks
from tests.crash.faults import Died, FaultyStore, die, lose
from tests.crash.working import assert_ended_well, forget_ended_runs, let_leases_run_out
from tests.thorough import IS_THOROUGH

pytestmark = pytest.mark.usefixtures("quick_retries")

TEXT = "t" * payload_tasks.LONG
SECONDS = 30.0


@pytest.fixture
def files(tmp_path: Path) -> FilePayloads:
    return FilePayloads(tmp_path / "payloads")


@pytest.fixture
def segue(database_url: str, files: FilePayloads) -> Iterator[Segue]:
    with Segue(database_url, payloads=files, payload_threshold=10_000) as segue:
        yield segue


def work(engine: Engine) -> None:
    tasks = [name for name in declared.tasks if name.startswith(("tests.crash.payload_tasks.", "segue."))]
    pool = InlinePool(echo=False, store=engine.store, payloads=engine.payloads)
    Worker(engine, pool, tasks=sorted(tasks), options=WorkerOptions(concurrency=1, pool="inline", burst=True)).run()


def sampled(points: list[str], *, stride: int) -> Iterator[int]:
    for number, point in enumerate(points, 1):
        if IS_THOROUGH or point in ("put_payloads", "use_payloads") or number % stride == 0:
            yield number


@pytest.mark.parametrize("strike", [lose, die])
def test_at_every_point_of_a_worker(segue: Segue, strike: object) -> None:
    counting = FaultyStore(segue.engine.store)
    segue.start(payload_tasks.long_values, TEXT)
    work(Engine(counting, payloads=segue.engine.payloads))
    assert {"put_payloads", "use_payloads"} <= set(counting.points)
    for number in sampled(counting.points, stride=13):
        run = segue.start(payload_tasks.long_values, TEXT)
        faulty = FaultyStore(segue.engine.store, strike, number)  # type: ignore[arg-type]
        try:
            work(Engine(faulty, payloads=segue.engine.payloads))
        except (Died, StoreUnavailableError):
            assert faulty.has_struck
        let_leases_run_out(segue.url)
        segue.engine.rescue()
        work(segue.engine)
        assert_ended_well(segue, run)
        assert run.result() == payload_tasks.RESULT
        forget_ended_runs(segue)


@pytest.mark.parametrize("strike", [lose, die])
def test_at_every_point_of_a_sweep(segue: Segue, files: FilePayloads, strike: object) -> None:
    kept = segue.start(payload_tasks.long_values, TEXT)
    work(segue.engine)
    number, goes_on = 0, True
    while goes_on:
        number += 1
        run = segue.start(payload_tasks.write, f"{number:03}")
        work(segue.engine)
        with segue.engine.reading() as tx:
            before = count_payloads(tx).payloads
        forget(segue, run.id)
        faulty = FaultyStore(segue.engine.store, strike, number)  # type: ignore[arg-type]
        try:
            sweep_batch(Engine(faulty, payloads=segue.engine.payloads), grace_seconds=-86_400.0 - 60)
        except (Died, StoreUnavailableError):
            assert faulty.has_struck
        goes_on = faulty.has_struck
        sweep_batch(segue.engine, grace_seconds=-86_400.0 - 60)
        with segue.engine.reading() as tx:
            assert count_payloads(tx).payloads == before - 1
        assert kept.result() == payload_tasks.RESULT
    assert number > 8
    assert segue.engine.broken_invariants() == []


def forget(segue: Segue, run_id: str) -> None:
    from segue.engine.chores import delete_runs

    assert segue.engine.act(lambda act: delete_runs(act.tx, [run_id])) == 1


def test_children_die_when_a_value_is_stored_and_when_it_is_read(
    database_url: str, files: FilePayloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(payload_tasks.FOLDER, str(files.folder))
    monkeypatch.setenv(payload_tasks.WORKER, str(os.getpid()))
    monkeypatch.setenv("SEGUE_PAYLOADS", "tests.crash.payload_tasks:deadly")
    monkeypatch.setenv("SEGUE_PAYLOAD_THRESHOLD", "10000")
    with Segue(database_url) as segue:
        assert segue.engine.payloads is not None
        assert repr(segue.engine.payloads) == repr(payloads_of())
        options = WorkerOptions(concurrency=2, pool="process")
        worker = make_worker(segue.engine, options, modules=["tests.crash.payload_tasks"])
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            run = segue.start(payload_tasks.long_values, "short")
            run.wait(SECONDS)
        finally:
            worker.stop()
            thread.join(SECONDS)
        assert_ended_well(segue, run)
        assert sorted(path.name for path in files.folder.glob("died-*")) == ["died-retrieve", "died-store"]
        assert run.result() == payload_tasks.RESULT | {"all": 2 * payload_tasks.LONG + 5}
        died = [attempt for attempt in run.attempts() if attempt.error and attempt.error.type == "ProcessDiedError"]
        assert len(died) == 2
        assert segue.prune(older_than=timedelta(seconds=-60)) == 1
