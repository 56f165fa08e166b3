"""A value of a kind that this version does not know ends the steps that read it, with an error, and nothing else.

The first step of each workflow is marked with such a value, as a process of a newer version would do it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from segue import Debounce, Limit, Run, Segue, chain, sleep, task, wait_for, workflow
from segue.authoring.schedule import Schedule
from segue.cli.root import segue as command
from segue.client.step import parameters_of
from segue.engine.reopening.edit import NewArguments, edit_step
from segue.engine.reopening.manual import mark_step
from segue.engine.views import look
from segue.errors import PlanError, RunFailedError, SerializationError
from segue.model import RunStatus, StepStatus
from segue.plan import codec
from segue.plan.frames import framed
from segue.scheduler.debouncing import start_due_debounces
from segue.scheduler.definition import define
from segue.worker.inline import work_run
from segue.worker.launch import make_worker
from segue.worker.options import WorkerOptions
from tests.contract.stage import connect

pytestmark = pytest.mark.contract

SEALED = framed("sealed", '{"at":[1,2],"$segue.sealed":3}')
NEWER = r'the kind "\$segue\.sealed".*a newer version'
SECONDS = 30.0


@task(name="frames.first", retries=3)
def first(value: Any = None) -> Any:
    return value


@task(name="frames.use", retries=3, retry_delay=0)
def use(*values: Any, **fields: Any) -> int:
    return len(values) + len(fields)


@task(name="frames.counted", limits=[Limit("frames", 1, key="value")])
def counted(value: Any) -> int:
    return 1


@task(name="frames.turned", fair_by="{order.customer}")
def turned(order: dict[str, Any]) -> int:
    return 1


@workflow(name="frames.reads")
def reads(how: str) -> Any:
    sealed = first()
    match how:
        case "whole":
            found = use(sealed)
        case "inside":
            found = use(1, [{"a": sealed}], by=sealed)
        case "path":
            found = use(sealed["$segue.sealed"])
        case "longer path":
            found = use(sealed["at"][0])
        case "map":
            found = use.map(sealed)
        case "condition":
            found = use.options(when=sealed)(1)
        case "key":
            found = counted(sealed)
        case "key inside":
            found = turned({"customer": sealed})
        case "key by path":
            found = turned(sealed)
        case "sleep":
            found = sleep(sealed)
        case "name of a wait":
            found = wait_for(sealed)
        case "default of a wait":
            found = wait_for("go", timeout=60, default=sealed)
        case _:
            raise AssertionError(how)
    return {"sound": use(1, 2), "found": found}


HOWS = (
    "whole", "inside", "path", "longer path", "map", "condition", "key", "key inside", "key by path", "sleep",
    "name of a wait", "default of a wait",
)  # fmt: skip


@workflow(name="frames.passes")
def passes() -> Any:
    sealed = first()
    return {"$segue.sealed": sealed, "list": [sealed, use(1).after(sealed)]}


@workflow(name="frames.many")
def many(values: list[Any]) -> Any:
    return first(values)


@pytest.fixture
def segue(database_url: str) -> Iterator[Segue]:
    with Segue(database_url) as segue:
        yield segue


def sealed(segue: Segue, work: Any, *args: Any) -> Run:
    """A run whose first step has such a result."""
    run = segue.start(work, *args)
    segue.engine.act(mark_step, run.id, step=0, result=SEALED)
    return run


def said_by(run: Run) -> str:
    """What the failed step says."""
    [step] = [step for step in run.steps() if step.status is StepStatus.FAILED]
    assert step.error is not None
    assert step.error.type == "SerializationError"
    return step.error.message


def say(segue: Segue, *words: str) -> str:
    """What the command line says, which is never a traceback."""
    result = CliRunner().invoke(command, list(words), env={"SEGUE_DATABASE_URL": segue.engine.store.url})
    assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exception)
    return result.output


@pytest.mark.parametrize("how", HOWS)
def test_a_step_that_reads_it_fails_in_words(segue: Segue, how: str) -> None:
    run = sealed(segue, reads, how)
    work_run(segue.engine, run.id)
    assert run.status is RunStatus.FAILED
    message = said_by(run)
    assert '"$segue.sealed"' in message
    assert "newer version" in message
    ended_well = [step.name for step in run.steps() if step.status is StepStatus.SUCCEEDED]
    assert len(ended_well) == 2  # the one that was marked, and the sound one beside it
    with pytest.raises(RunFailedError, match="newer version"):
        run.result()
    assert segue.engine.broken_invariants() == []


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_no_worker_ends_of_it(segue: Segue, pool: str) -> None:
    runs = [sealed(segue, reads, how) for how in HOWS]
    options = WorkerOptions(concurrency=2, pool=pool)
    worker = make_worker(segue.engine, options, modules=[__name__])
    errors: list[BaseException] = []

    def work() -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for run in runs:
            assert "newer version" in said_by(run.wait(SECONDS))
        assert segue.start(use, 1, 2).wait(SECONDS).result() == 2
        assert errors == []
        assert thread.is_alive()
    finally:
        worker.stop()
        thread.join(SECONDS)


def test_what_is_only_passed_on_stays_as_it_is(segue: Segue) -> None:
    run = sealed(segue, passes)
    work_run(segue.engine, run.id)
    assert run.status is RunStatus.SUCCEEDED
    with segue.engine.reading() as tx:
        assert look.run_result(tx, run.id) == f'{{"$segue.sealed":{SEALED},"list":[{SEALED},1]}}'
    with pytest.raises(SerializationError, match=NEWER):
        run.result()
    fork = run.fork("use")
    work_run(segue.engine, fork.id)
    with pytest.raises(SerializationError, match=NEWER):
        fork.result()


def test_a_step_succeeds_when_it_is_retried_by_a_version_that_knows_the_kind(segue: Segue) -> None:
    run = sealed(segue, chain(first.s(), use.s()))
    work_run(segue.engine, run.id)
    assert "newer version" in said_by(run)
    run.step(1).edit(1)  # stands for a worker that reads it
    run.retry()
    work_run(segue.engine, run.id)
    assert run.result() == 1


def test_an_equal_dict_is_another_result(segue: Segue) -> None:
    run = sealed(segue, chain(first.s(), use.s()))
    with pytest.raises(SerializationError, match=NEWER):
        run.step(0).mark(msgspec.json.decode(SEALED))


def test_arguments_of_a_newer_version(segue: Segue) -> None:
    for place in ({"positional": [SEALED]}, {"named": {"value": f"[{SEALED}]"}}):
        run = segue.start(first, 1)
        segue.engine.act(edit_step, run.id, step=0, new=NewArguments(**place), parameters=parameters_of)
        work_run(segue.engine, run.id)
        assert "newer version" in said_by(run)
        run.step(0).edit(2)
        run.retry()
        work_run(segue.engine, run.id)
        assert run.result() == 2


def test_a_key_of_a_newer_version_is_refused_in_an_edit(segue: Segue) -> None:
    run = segue.start(counted, 1)
    new = NewArguments(positional=[SEALED])
    with pytest.raises(PlanError, match="newer version"):
        segue.engine.act(edit_step, run.id, step=0, new=new, parameters=parameters_of)


def test_views_show_the_object_and_refuse_the_result_in_words(segue: Segue) -> None:
    run = sealed(segue, chain(first.s(), use.s()))
    work_run(segue.engine, run.id)
    for words in (("show", run.id), ("show", run.id, "--json"), ("explain", run.id), ("runs",), ("result", run.id)):
        assert say(segue, *words)
    assert "newer version" in say(segue, "show", run.id)
    with connect(segue.url) as connection:
        mark = "?" if segue.url.startswith("sqlite") else "%s"
        sql = f"UPDATE segue_runs SET arguments = {mark} WHERE id = {mark}"
        connection.execute(sql, (f"[[{SEALED}],{{}}]", run.id))
        connection.commit()
    assert run.info().arguments == [[msgspec.json.decode(SEALED)], {}]
    passed = sealed(segue, passes)
    work_run(segue.engine, passed.id)
    assert "newer version" in say(segue, "result", passed.id)


def test_a_schedule_and_a_debounced_start_of_a_newer_version(segue: Segue) -> None:
    definition = msgspec.structs.replace(
        define(many, [[1]], {}, Schedule("0 0 * * *")), arguments=f"[[[{SEALED}]],{{}}]"
    )
    with pytest.raises(SerializationError, match=NEWER):
        definition.plan_at(datetime(2026, 11, 20, tzinfo=UTC), "s")
    run = segue.start(many, 1, debounce=Debounce(key="k", window=0.001, keep="all"))
    with connect(segue.url) as connection:
        connection.execute(f"UPDATE segue_debounce_starts SET arguments = '[[{SEALED}],{{}}]'")
        connection.commit()
    end = time.monotonic() + SECONDS
    while run.status is RunStatus.PENDING:
        assert time.monotonic() < end
        start_due_debounces(segue.engine)
    assert run.status is RunStatus.FAILED
    assert run.info().error is not None
    assert "newer version" in run.info().error.message


@pytest.mark.parametrize("wrap", [lambda raw: raw, lambda raw: [raw], lambda raw: {"a": [raw, {"b": 1}]}])
def test_raw_json_of_a_user_arrives_as_his_dict(segue: Segue, wrap: Any) -> None:
    value, raw = wrap(msgspec.json.decode(SEALED)), wrap(msgspec.Raw(SEALED.encode()))
    assert segue.run(first, raw) == value
    assert segue.run(chain(first.s(1), first.si(raw))) == value
    assert segue.run(first.map([raw])) == [value]
    run = segue.start(first, 1)
    run.step(0).edit(raw)
    work_run(segue.engine, run.id)
    assert run.result() == value
    run = segue.start(first, 1)
    run.step(0).mark(raw)
    assert run.result() == value


@workflow(name="frames.beside")
def beside() -> Any:
    return first([first(1), msgspec.Raw(SEALED.encode())])


def test_raw_json_beside_a_future_result_arrives_as_a_dict(segue: Segue) -> None:
    assert segue.run(beside) == [1, msgspec.json.decode(SEALED)]


def test_a_subscription_of_a_newer_version_is_left_out(segue: Segue) -> None:
    segue.subscriptions.add("sealed", events=["run.succeeded"], to=use.s(secret=1))
    segue.subscriptions.add("sound", events=["run.succeeded"], to=use.s(plain=2))
    with connect(segue.url) as connection:
        inside = msgspec.json.encode(SEALED).decode()[1:-1]
        change = f"""replace(target, '"secret\\":1', '"secret\\":{inside}')"""
        connection.execute(f"UPDATE segue_subscriptions SET target = {change} WHERE name = 'sealed'")
        connection.commit()
        [target] = connection.execute("SELECT target FROM segue_subscriptions WHERE name = 'sealed'").fetchone()
    assert codec.decode(target).nodes[0].args.endswith(f'{{"secret":{SEALED}}}]')
    segue.run(first, 1)
    runs = [run.workflow for run in segue.runs(limit=10)]
    assert len(runs) == 2  # its own, and one notification
