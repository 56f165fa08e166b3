"""Long values lie in a payload store, and steps, joins, conditions and readers of results see no difference."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from segue import Run, Segue
from segue.cli.root import segue as command
from segue.errors import PayloadError, PayloadMissingError, RunFailedError
from segue.model import RunStatus, StepStatus
from segue.payloads import FilePayloads, Payloads
from segue.plan.frames import has_frame
from segue.worker.inline import work_run
from segue.worker.launch import make_worker
from segue.worker.options import WorkerOptions
from tests.contract.payload_tasks import (
    LONG,
    after_a_transaction,
    conditional,
    given,
    in_a_chain,
    in_the_engine,
    joins,
    joins_in_joins,
    make,
    make_async,
    parts,
    passes,
    size,
    size_async,
    spread,
    table,
    text_of,
    waits,
)
from tests.contract.stage import connect
from tests.servers.objects import Bucket
from tests.unit.payloads.ciphers import Sealing

pytestmark = pytest.mark.contract

THRESHOLD = 10_000
SECONDS = 30.0


@pytest.fixture
def files(tmp_path: Path) -> FilePayloads:
    return FilePayloads(tmp_path / "payloads")


@pytest.fixture
def segue(database_url: str, files: FilePayloads) -> Iterator[Segue]:
    with Segue(database_url, payloads=files, payload_threshold=THRESHOLD) as segue:
        assert segue.engine.payloads is not None
        segue.engine.payloads.pauses_seconds = ()
        yield segue
        assert segue.engine.broken_invariants() == []
        assert longest_in_the_database(segue) < 2 * THRESHOLD


def stored(files: FilePayloads) -> list[Path]:
    return sorted(path for path in files.folder.rglob("*") if path.is_file())


def longest_in_the_database(segue: Segue) -> int:
    with connect(segue.url) as connection:
        found = connection.execute(
            "SELECT coalesce(max(length(args)), 0), coalesce(max(length(result)), 0) FROM segue_steps"
        ).fetchone()
    return max(found)


def uses(segue: Segue) -> dict[str, int]:
    """For each run: how many payloads it uses."""
    with connect(segue.url) as connection:
        rows = connection.execute("SELECT run_id, count(*) FROM segue_payload_uses GROUP BY run_id").fetchall()
    return {str(run_id): count for run_id, count in rows}


@contextmanager
def worker_of(segue: Segue, pool: str) -> Iterator[None]:
    """A worker in another thread."""
    options = WorkerOptions(concurrency=2, pool=pool)
    worker = make_worker(segue.engine, options, modules=["tests.contract.payload_tasks"])
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(SECONDS)


def failure(run: Run) -> Any:
    [step] = [step for step in run.steps() if step.status is StepStatus.FAILED]
    return step.error


# What is long lies in the store ---------------------------------------------------------------------------------------


def test_a_result_goes_to_the_next_step(segue: Segue, files: FilePayloads) -> None:
    run = segue.start(in_a_chain, "a")
    work_run(segue.engine, run.id)
    assert run.result() == LONG
    assert len(stored(files)) == 1
    assert uses(segue) == {run.id: 1}


def test_a_short_result_uses_no_store(segue: Segue, files: FilePayloads) -> None:
    assert segue.run(make, "a", 100) == "a" * 100
    assert stored(files) == []
    assert uses(segue) == {}


def test_a_result_is_read_by_the_caller(segue: Segue) -> None:
    run = segue.start(passes, "a")
    work_run(segue.engine, run.id)
    assert run.result() == {"long": text_of("a"), "short": 1, "part": "s" * 20_000}


def test_results_join(segue: Segue, files: FilePayloads) -> None:
    assert segue.run(joins, ["a", "b", "a"]) == [LONG] * 3
    assert len(stored(files)) == 2  # equal contents are one
    assert segue.run(joins_in_joins) == [LONG] * 3


def test_paths_into_results(segue: Segue) -> None:
    assert segue.run(parts) == {"first": 20_000, "count": 2, "all": 3}


@pytest.mark.parametrize("how, result", [("whole", "ran"), ("true part", "ran"), ("false part", None)])
def test_conditions(segue: Segue, how: str, result: Any) -> None:
    run = segue.start(conditional, how)
    work_run(segue.engine, run.id)
    assert run.result() == result
    assert run.counts().get(StepStatus.SKIPPED, 0) == (result is None)


def test_a_condition_on_a_part_that_is_not_there_fails_the_step(segue: Segue) -> None:
    run = segue.start(conditional, "missing")
    work_run(segue.engine, run.id)
    assert run.status is RunStatus.FAILED
    assert "was asked for ['no']" in failure(run).message


def test_arguments_lie_in_the_store(segue: Segue, files: FilePayloads) -> None:
    run = segue.start(given, text_of("a"), other=["x" * 20_000, "y"])
    assert len(stored(files)) == 3  # the text, the list, and the list with a hole
    assert uses(segue) == {run.id: 3}
    work_run(segue.engine, run.id)
    assert run.result() == {"size": 2 * LONG + 2, "whole": [text_of("c"), text_of("a")]}


def test_a_plan_that_a_task_returns_has_long_arguments(segue: Segue, files: FilePayloads) -> None:
    run = segue.start(spread, [text_of("a"), text_of("b"), "c"])
    work_run(segue.engine, run.id)
    assert run.result() == [LONG, LONG, 1]
    assert len(stored(files)) == 3  # the list, and two of its items


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_workers_of_every_kind(segue: Segue, pool: str) -> None:
    with worker_of(segue, pool):
        runs = [segue.start(in_a_chain, "a"), segue.start(joins, ["a", "b"]), segue.start(parts)]
        runs.append(segue.start(make_async, "z"))
        runs.append(segue.start(size_async, text_of("q")))
        runs.append(segue.start(conditional, "false part"))
        results = [run.wait(SECONDS).result() for run in runs]
    assert results == [
        LONG, [LONG, LONG], {"first": 20_000, "count": 2, "all": 3}, text_of("z"), LONG, None,
    ]  # fmt: skip


def letters(segue: Segue) -> list[str]:
    with connect(segue.url) as connection:
        return [row[0] for row in connection.execute("SELECT letter FROM payload_letters").fetchall()]


@pytest.mark.parametrize("needs_key", [False, True])
def test_a_transactional_task(segue: Segue, needs_key: bool) -> None:
    with connect(segue.url) as connection:
        connection.execute("CREATE TABLE payload_letters (letter text)")
        connection.commit()
    run = segue.start(after_a_transaction, needs_key)
    work_run(segue.engine, run.id)
    if not needs_key:
        assert run.result() == LONG
        assert letters(segue) == ["t"]
    else:  # its transaction, in which the key would be needed, cannot be done again
        assert run.status is RunStatus.FAILED
        assert "cannot be read in this transaction" in failure(run).message
        assert letters(segue) == []


def test_more_than_the_limit_of_the_database(segue: Segue) -> None:
    size_of = 17 * 2**20
    run = segue.start(make, "a", size_of)
    work_run(segue.engine, run.id)
    assert run.result() == text_of("a", size_of)


def test_encrypted(database_url: str, files: FilePayloads) -> None:
    payloads = Payloads(files, threshold=THRESHOLD, cipher=Sealing())
    with Segue(database_url, payloads=payloads) as segue:
        run = segue.start(in_a_chain, "a")
        work_run(segue.engine, run.id)
        assert run.result() == LONG
        [file] = stored(files)
        assert b"aaaa" not in file.read_bytes()


# What a person gives -------------------------------------------------------------------------------------------------


def test_a_message(segue: Segue, files: FilePayloads) -> None:
    run = segue.start(waits)
    run.send("text", text_of("m"))
    assert uses(segue) == {run.id: 1}
    work_run(segue.engine, run.id)
    assert run.result() == LONG


def test_a_mark(segue: Segue) -> None:
    run = segue.start(in_a_chain, "a")
    run.step(0).mark(text_of("m", 70_000))
    assert run.step(0).mark(text_of("m", 70_000)) is RunStatus.PENDING  # the same once more
    assert uses(segue) == {run.id: 1}
    work_run(segue.engine, run.id)
    assert run.result() == 70_000
    marked = segue.events.list(run.id, kinds=["step.marked"])[0]
    assert marked.detail["result_bytes"] == 70_002


def test_a_fork_uses_the_same(segue: Segue, files: FilePayloads) -> None:
    run = segue.start(in_a_chain, "a")
    work_run(segue.engine, run.id)
    fork = run.fork("size")
    assert uses(segue) == {run.id: 1, fork.id: 1}
    work_run(segue.engine, fork.id)
    assert fork.result() == LONG
    assert len(stored(files)) == 1


def test_an_older_look_at_it_shows_the_reference(segue: Segue) -> None:
    run = segue.start(size, text_of("a"))
    result = CliRunner().invoke(command, ["show", run.id, "--json"], env={"SEGUE_DATABASE_URL": segue.url})
    assert result.exit_code == 0, result.output


# When something is wrong ---------------------------------------------------------------------------------------------


def after_the_first_step(segue: Segue, work: Any, *args: Any) -> Run:
    """A run whose first step has ended, and whose second has not begun."""
    run = segue.start(work, *args)
    from segue.authoring import declared
    from segue.worker.pool.inline import InlinePool
    from segue.worker.worker import Worker

    first = [name for name in declared.tasks if name in ("payloads.make", "payloads.table")]
    options = WorkerOptions(concurrency=1, pool="inline", burst=True)
    pool = InlinePool(store=segue.engine.store, payloads=segue.engine.payloads)
    Worker(segue.engine, pool, tasks=first, options=options).run()
    assert run.counts()[StepStatus.SUCCEEDED] == 1
    return run


def drop(files: FilePayloads) -> str:
    [file] = stored(files)
    file.unlink()
    return file.name


def damage(files: FilePayloads) -> str:
    [file] = stored(files)
    file.write_bytes(file.read_bytes()[:-3] + b"???")
    return file.name


@pytest.mark.parametrize("wrong, error", [(drop, "PayloadMissingError"), (damage, "PayloadDamagedError")])
@pytest.mark.parametrize("work, args", [(in_a_chain, ("a",)), (parts, ()), (conditional, ("true part",))])
def test_the_step_that_reads_it_fails_and_names_it(
    segue: Segue, files: FilePayloads, wrong: Callable[[FilePayloads], str], error: str, work: Any, args: Any
) -> None:
    run = after_the_first_step(segue, work, *args)
    name = wrong(files)
    work_run(segue.engine, run.id)
    assert run.status is RunStatus.FAILED
    failed = [step for step in run.steps() if step.status is StepStatus.FAILED]
    assert failed
    for step in failed:
        assert step.error is not None
        assert step.error.type == error
        assert name in step.error.message
        assert step.attempt == 1  # the next try would find the same
    with pytest.raises(RunFailedError, match=name):
        run.result()
    run.step(0).retry()  # makes it again
    work_run(segue.engine, run.id)
    assert run.status is RunStatus.SUCCEEDED


def test_a_result_that_is_gone_is_never_null(segue: Segue, files: FilePayloads) -> None:
    run = segue.start(make, "a")
    work_run(segue.engine, run.id)
    name = drop(files)
    with pytest.raises(PayloadMissingError, match=name):
        run.result()


def test_a_store_that_is_away_costs_a_try(segue: Segue, files: FilePayloads) -> None:
    run = after_the_first_step(segue, in_a_chain, "a")
    away = files.folder.with_name("away")
    files.folder.rename(away)
    work_run(segue.engine, run.id)
    error = failure(run)
    assert error.type == "PayloadUnavailableError"
    assert "mounted" in error.message
    assert [step.attempt for step in run.steps()] == [1, 3]
    away.rename(files.folder)
    run.retry()
    work_run(segue.engine, run.id)
    assert run.result() == LONG


def test_while_the_store_cannot_be_written_results_go_to_the_database(
    database_url: str, files: FilePayloads
) -> None:  # fmt: skip
    files.folder.parent.mkdir(exist_ok=True)
    files.folder.write_text("a file is in the way")
    with Segue(database_url, payloads=files, payload_threshold=THRESHOLD) as segue:
        run = segue.start(in_a_chain, "a")
        work_run(segue.engine, run.id)
        assert run.result() == LONG
        assert longest_in_the_database(segue) >= LONG
        large = segue.start(make, "a", 17 * 2**20)
        work_run(segue.engine, large.id)
        assert failure(large).type == "PayloadUnavailableError"


def test_a_process_without_the_store_says_what_is_missing(segue: Segue, database_url: str) -> None:
    run = after_the_first_step(segue, in_a_chain, "a")
    with Segue(database_url) as without:
        work_run(without.engine, run.id)
        assert failure(run).type == "PayloadError"
        assert "SEGUE_PAYLOADS" in failure(run).message
        whole = segue.start(make, "b")
        work_run(segue.engine, whole.id)
        with pytest.raises(PayloadError, match="SEGUE_PAYLOADS"):
            without.get(whole.id).result()
    run.retry()
    work_run(segue.engine, run.id)
    assert run.result() == LONG


# What the engine itself needs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["inline", "thread"])
@pytest.mark.parametrize("how, result", [("key", "acme"), ("sleep", None), ("wait", 7), ("when", None)])
def test_a_key_and_a_wait_may_come_from_a_payload(segue: Segue, how: str, result: Any, pool: str) -> None:
    run = segue.start(in_the_engine, how)
    if how == "wait":
        run.send("acme", 7)
    if pool == "inline":
        work_run(segue.engine, run.id)
    else:
        with worker_of(segue, pool):
            run.wait(SECONDS)
    assert run.result() == result


@pytest.mark.parametrize("wrong, error", [(drop, "PayloadMissingError"), (damage, "PayloadDamagedError")])
@pytest.mark.parametrize("how", ["key", "sleep", "wait", "when"])
def test_one_that_the_engine_needs_is_wrong(
    segue: Segue, files: FilePayloads, wrong: Callable[[FilePayloads], str], error: str, how: str
) -> None:
    run = segue.start(in_the_engine, how)
    assert segue.engine.payloads is not None
    names: list[str] = []
    keep = segue.engine.payloads.keep

    def keep_and_spoil(text: str) -> str:
        frame = keep(text)
        names.append(wrong(files))
        return frame

    segue.engine.payloads.keep = keep_and_spoil  # type: ignore[method-assign]
    work_run(segue.engine, run.id)
    assert run.status is RunStatus.FAILED
    assert failure(run).type == error
    assert names[0] in failure(run).message


def test_while_the_store_is_away_the_outcome_is_kept(segue: Segue, files: FilePayloads) -> None:
    """The step that made the payload has ended, and is reported when the store can be asked for the next one's key."""
    away, sound = files.folder.with_name("away"), segue.start(in_a_chain, "b")
    assert segue.engine.payloads is not None
    keep, asked = segue.engine.payloads.keep, threading.Event()

    def keep_and_go(text: str) -> str:
        frame = keep(text)
        if '"acme"' in text:
            files.folder.rename(away)
            asked.set()
        return frame

    segue.engine.payloads.keep = keep_and_go  # type: ignore[method-assign]
    with worker_of(segue, "thread"):
        sound.wait(SECONDS)
        run = segue.start(in_the_engine, "key")
        assert asked.wait(SECONDS)
        short = segue.start(make, "a", 10)  # the worker goes on meanwhile
        assert short.wait(SECONDS).result() == "a" * 10
        assert run.status is RunStatus.RUNNING
        shutil.move(away, files.folder)
        assert run.wait(SECONDS).result() == "acme"


def test_readers_of_the_raw_text_find_no_value(segue: Segue) -> None:
    run = segue.start(table)
    work_run(segue.engine, run.id)
    with segue.engine.reading() as tx:
        from segue.engine.views import look

        assert has_frame(look.run_result(tx, run.id))
    assert run.result()["size"] == 2


def test_the_folder_may_move(segue: Segue, files: FilePayloads, database_url: str) -> None:
    run = segue.start(make, "a")
    work_run(segue.engine, run.id)
    other = files.folder.with_name("other")
    shutil.move(files.folder, other)
    with Segue(database_url, payloads=FilePayloads(other)) as moved:
        assert moved.get(run.id).result() == text_of("a")


def test_children_of_a_pool_use_a_bucket(sqlite_url: str, bucket: Bucket) -> None:
    with Segue(sqlite_url, payloads=bucket.store(), payload_threshold=THRESHOLD) as segue:
        with worker_of(segue, "process"):
            runs = [segue.start(joins, ["a", "b"]), segue.start(size, text_of("q"))]
            assert [run.wait(SECONDS).result() for run in runs] == [[LONG, LONG], LONG]
        assert longest_in_the_database(segue) < THRESHOLD
        assert len({request for request in bucket.requests if request.startswith("PUT")}) == 3  # some come twice
