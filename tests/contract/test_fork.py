"""`fork`: a new run that takes over what another one has done, and goes another way from one of its steps."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest

from segue.engine.pausing import pause_run
from segue.engine.reopening.fork import fork_run
from segue.errors import PlanError, RunNotFoundError, RunStateError, StepNotFoundError
from segue.model import Gather, Hole, Progress, Ref
from segue.plan.check import Parameters
from segue.plan.graph import RunTerms, Sla
from segue.store import named
from tests.contract.by_hand import arguments, fails, fork, mark, say, skip, unknown
from tests.contract.stage import Stage, connect, expanded, failed, node, plan, succeeded
from tests.contract.test_retry_from import grow, names, rounds


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def test_results_are_taken_over_and_the_rest_begins_anew(stage: Stage) -> None:
    total = node("total", 0, 1, args="[[null],{}]", holes=(Hole((0, 0), Gather((Ref(0), Ref(1)))),))
    run_id = stage.start(plan(node("a"), node("b"), total, node("end", 2), result=Ref(2)), key="first")
    assert rounds(stage) == [["a", "b"], ["total"], ["end"]]
    before, run = stage.steps(run_id), stage.run(run_id)
    forked = fork(stage, run_id, "b")
    assert stage.steps(run_id) == before
    assert stage.run(run_id) == run
    new = stage.run(forked)
    assert (new.status, new.key, new.workflow, new.forked_from) == ("pending", None, "flow", run_id)
    assert stage.statuses(forked) == {"a": "succeeded", "b": "ready", "total": "blocked", "end": "blocked"}
    [job] = stage.claim_named("b")
    assert (job.run_id, job.attempt) == (forked, 1)
    stage.turn(succeeded(job, "other"))
    [job] = stage.claim_named("total")
    assert job.values == {0: '"a"', 1: '"other"'}
    stage.turn(succeeded(job, "sum"))
    assert rounds(stage) == [["end"]]
    assert (stage.run(forked).status, stage.result(forked), stage.result(run_id)) == ("succeeded", "sum", "total")


def test_other_arguments_for_the_step(stage: Stage) -> None:
    fed = node("b", 0, args='[[null,2],{"x":3,"y":null}]', holes=(Hole((0, 0), Ref(0)), Hole((1, "y"), Ref(0))))
    run_id = stage.start(plan(node("a"), fed))
    rounds(stage)
    by_name = fork(stage, run_id, "b", new=arguments(x=30, z=[1]))
    [job] = stage.claim_named("b")
    assert msgspec.json.decode(job.args) == [[None, 2], {"x": 30, "y": None, "z": [1]}]
    assert job.holes is not None
    assert job.values == {0: '"a"'}
    stage.turn(succeeded(job))
    assert stage.run(by_name).status == "succeeded"
    fork(stage, run_id, "b", new=arguments("instead", y=1))
    [job] = stage.claim_named("b")
    assert msgspec.json.decode(job.args) == [["instead"], {"x": 3, "y": 1}]
    assert job.holes is None
    stage.turn(succeeded(job))


def test_arguments_that_the_task_does_not_take(stage: Stage) -> None:
    def takes(_: str) -> Parameters:
        return Parameters(("path",), 0, ("path",), frozenset({"path"}), False, False, "(path: str)")

    join = node("join", 0, task=None)
    run_id = stage.start(plan(node("a", args='[["x"],{}]'), join))
    rounds(stage)
    runs = [run_id]
    for new, problem in ((arguments("x", "y"), "2 positional arguments and takes 1"), (arguments(width=2), "width")):
        with pytest.raises(PlanError, match=problem):
            say(stage, fork_run, run_id, new_id=stage.engine.new_id(), step="a", new=new, parameters=takes)
    with pytest.raises(RunStateError, match="it is a join"):
        fork(stage, run_id, "join", new=arguments(1))
    with pytest.raises(StepNotFoundError):
        fork(stage, run_id, "nobody")
    with pytest.raises(RunNotFoundError):
        fork(stage, stage.engine.new_id(), "a")
    with connect(stage.store.url) as connection:
        assert [str(row[0]) for row in connection.execute("SELECT id FROM segue_runs")] == runs


def test_a_key_is_taken_once(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")), key="one")
    rounds(stage)
    forked = fork(stage, run_id, "a", key="two")
    assert fork(stage, run_id, "a", key="two") == forked
    assert fork(stage, run_id, "a", key="one") == run_id
    assert stage.run(forked).key == "two"
    assert fork(stage, run_id, "a") not in (run_id, forked)
    assert rounds(stage) == [["a", "a"]] or rounds(stage) == []


def test_the_same_fork_said_twice_is_one(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    rounds(stage)
    id_ = stage.engine.new_id()
    for _ in range(2):
        assert say(stage, fork_run, run_id, new_id=id_, step="a", parameters=unknown) == id_
    assert rounds(stage) == [["a"]]


def test_a_live_run_is_forked_and_goes_on_untouched(stage: Stage) -> None:
    run_id = stage.start(
        plan(node("a"), node("b", 0), node("c", 0, retries=1, retry_delay=60.0), node("d", 0), node("e", 1, 2, 3))
    )
    assert names(stage) == ["a"]
    jobs = {job.name: job for job in stage.claim()}
    stage.turn(succeeded(jobs["b"]), failed(jobs["c"]), progress=[Progress(run_id, 3, 1, 1.0)])
    stage.engine.act(pause_run, run_id)
    before = stage.steps(run_id)
    forked = fork(stage, run_id, "d")
    assert stage.steps(run_id) == before
    assert stage.run(run_id).status == "paused"
    assert stage.statuses(forked) == {
        "a": "succeeded", "b": "succeeded", "c": "ready", "d": "ready", "e": "blocked"
    }  # fmt: skip
    assert {step.attempt for step in stage.steps(forked)} == {0}
    assert rounds(stage) == [["c", "d"], ["e"]]
    assert stage.run(forked).status == "succeeded"
    stage.turn(succeeded(jobs["d"]))
    assert stage.statuses(run_id)["d"] == "succeeded"


def test_plans_that_tasks_returned_are_taken_over(stage: Stage) -> None:
    run_id = stage.start(
        plan(node("done"), node("open", 0), node("other", 0), node("end", 1, 2), result=Gather((Ref(0), Ref(1))))
    )
    grow(stage, "done", node("x"), node("y"), result=Gather((Ref(0), Ref(1))))
    assert names(stage) == ["x", "y"]
    open_, other = stage.claim_named("open", "other")
    stage.turn(expanded(open_, plan(node("p"), node("q"), node("r", 1), result=Ref(2))), succeeded(other))
    p, q = stage.claim_named("p", "q")
    stage.turn(succeeded(p, "p"))
    forked = fork(stage, run_id, "other")
    assert stage.statuses(forked) == {
        "done": "succeeded", "open": "blocked", "other": "ready", "end": "blocked", "x": "succeeded", "y": "succeeded",
        "p": "succeeded", "q": "ready", "r": "blocked",
    }  # fmt: skip
    assert rounds(stage) == [["other", "q"], ["r"], ["end"]]
    assert stage.result(forked) == [["x", "y"], "r"]
    stage.turn(succeeded(q, "q"))
    assert rounds(stage) == [["r"], ["end"]]
    again = fork(stage, run_id, "open")
    assert set(stage.statuses(again)) == {"done", "open", "other", "end", "x", "y"}
    assert rounds(stage) == [["open"], ["end"]]
    assert stage.run(again).status == "succeeded"
    inside = fork(stage, run_id, "r")
    assert rounds(stage) == [["r"], ["end"]]
    assert stage.result(inside) == [["x", "y"], "r"]


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
def test_what_had_not_succeeded_elsewhere_begins_anew(stage: Stage, ending: str) -> None:
    run_id = stage.start(
        plan(
            node("a"), node("b", 0), node("bad", 0), node("below", 2), node("left", 0), node("under", 4),
            node("hook", hook="finally"),
        )
    )  # fmt: skip
    assert names(stage) == ["a"]
    skip(stage, run_id, "left")
    if ending == "failed":
        stage.work(fails("bad"))
    else:
        [b] = stage.claim(want=1)
        stage.cancel(run_id)
        stage.turn(succeeded(b))
        assert names(stage) == ["hook"]
    assert stage.run(run_id).status == ending
    forked = fork(stage, run_id, "b")
    assert stage.statuses(forked) == {
        "a": "succeeded", "b": "ready", "bad": "ready", "below": "blocked", "left": "skipped", "under": "skipped",
        "hook": "blocked",
    }  # fmt: skip
    assert rounds(stage) == [["b", "bad"], ["below"], ["hook"]]
    assert stage.run(forked).status == "succeeded"


def test_results_that_people_gave_are_taken_over(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), result=Ref(0)))
    mark(stage, run_id, "a", {"given": True})
    forked = fork(stage, run_id, "b")
    assert names(stage) == ["b", "b"]
    assert stage.result(forked) == {"given": True}


def test_a_fork_of_a_fork(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c", 1)))
    rounds(stage)
    first = fork(stage, run_id, "b")
    second = fork(stage, first, "c")
    assert stage.run(second).forked_from == first
    assert stage.statuses(second) == {"a": "succeeded", "b": "ready", "c": "blocked"}
    rounds(stage)
    assert stage.run(second).status == "succeeded"


def test_tags_and_metadata_are_taken_over(stage: Stage) -> None:
    terms = RunTerms(arguments="[[1],{}]", tags=("nightly",), metadata='{"customer":42}')
    run_id = stage.start(plan(node("a", metadata='{"file":"x"}'), node("b", 0, metadata='{"file":"y"}'), terms=terms))
    rounds(stage)
    forked = fork(stage, run_id, "b", tags=["again"])
    run = stage.run(forked)
    assert (run.tags, run.metadata, run.arguments) == (("nightly", "again"), {"customer": 42}, [[1], {}])
    assert stage.run(run_id).tags == ("nightly",)
    with connect(stage.store.url) as connection:
        sql = "SELECT run_id, name, value, step FROM segue_labels ORDER BY step, name, value"
        labels = [row[1:] for row in connection.execute(sql) if str(row[0]) == forked]
    assert labels == [
        ("", "again", -1), ("", "nightly", -1), ("customer", "42", -1), ("file", "x", 0), ("file", "y", 1)
    ]  # fmt: skip
    rounds(stage)


def test_a_deadline_counts_from_the_fork(stage: Stage) -> None:
    terms = RunTerms(deadline=100.0)
    run_id = stage.start(plan(node("a", sla=Sla(end=50.0)), node("b", 0, sla=Sla(end=60.0)), terms=terms))
    assert names(stage) == ["a"]
    stage.advance(30)
    forked = fork(stage, run_id, "b")
    with connect(stage.store.url) as connection:
        sql = "SELECT run_id, step, kind, due_at FROM segue_alarms ORDER BY step, kind"
        rows = [row for row in connection.execute(sql) if str(row[0]) == forked]
    now = stage.store.now()
    with stage.engine.reading() as tx:
        found = [(row[1], row[2], round((tx.datetime(row[3]) - now).total_seconds())) for row in rows]
    assert found == [(-1, "deadline", 100), (1, "late_end", 60)]
    rounds(stage)


def test_every_column_of_a_step_is_copied(stage: Stage) -> None:
    """A column that is added to the table must be thought of here."""
    statements = named.load(stage.store.dialect)
    with connect(stage.store.url) as connection:
        for table, statement, kept in (
            ("segue_steps", "fork_steps", set()),
            (
                "segue_runs",
                "fork_run",
                {
                    "intent",
                    "outcome",
                    "error",
                    "started_at",
                    "finished_at",
                    "admitted_at",
                    "parent_run",
                    "parent_step",
                    "run_at",
                    "trace",  # a fork has one of its own
                    "is_paused",  # computed by the database
                },
            ),
        ):
            cursor = connection.execute(f"SELECT * FROM {table} WHERE 1 = 0")
            columns = {column[0] for column in cursor.description}
            copied = re.search(r"\(([^)]*)\)", statements[statement].sql)
            assert copied is not None
            assert columns - set(copied[1].replace(" ", "").split(",")) == kept
