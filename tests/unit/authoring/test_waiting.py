"""`wait_for` and `sleep` as steps and signatures; deadlines, SLAs and schedule_to_start as they are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import segue
from segue import Segue, chain, group, sleep, task, wait_for, workflow
from segue.attempt.outcomes import _expansion
from segue.authoring import declared, to_plan
from segue.errors import DefinitionError, PlanError
from segue.model import ENGINE_TASKS, SLEEP, WAIT_FOR, Hole, JoinRule, Policy, Ref
from segue.plan.check import find_problems
from segue.plan.graph import Node, Plan, RunTerms, Sla


@task
def first(x: Any = None) -> Any:
    return x


@task
def then(x: Any) -> Any:
    return x


def arguments(node: Node) -> Any:
    return msgspec.json.decode(node.args)


def test_the_engine_tasks_are_known_to_every_worker() -> None:
    assert declared.tasks.keys() >= ENGINE_TASKS


def test_a_wait_in_a_workflow_is_a_step_called_as_what_it_waits_for() -> None:
    @workflow(name="waits")
    def waits() -> Any:
        a = first(1)
        return then(wait_for("approved", timeout=timedelta(minutes=1), default={"of": a}).after(a))

    plan = waits.plan()
    assert [(node.name, node.task, node.parents) for node in plan.nodes[1:]] == [
        ("approved", WAIT_FOR, (0,)), ("then", then.name, (1,))
    ]  # fmt: skip
    assert arguments(plan.nodes[1]) == [["approved"], {"timeout": 60.0, "default": {"of": None}}]
    assert plan.nodes[1].holes == (Hole((1, "default", "of"), Ref(0)),)


def test_name_timeout_and_seconds_may_be_results() -> None:
    @workflow(name="waits_for_results")
    def waits_for_results() -> Any:
        a = first(1)
        return [wait_for(a["name"], timeout=a["timeout"]), sleep(a["seconds"]), sleep(until=a["until"])]

    plan = waits_for_results.plan()
    assert [node.name for node in plan.nodes] == ["first", "wait_for", "sleep[0]", "sleep[1]"]
    assert [hole.where for node in plan.nodes for hole in node.holes] == [(0, 0), (1, "timeout"), (0, 0), (1, "until")]


def test_in_a_chain_a_wait_ignores_what_came_before_unless_that_is_its_name() -> None:
    plan = to_plan(chain(first.s(1), wait_for.s("go"), then.s(), sleep.s(5), first.si()))
    assert [(node.name, node.parents, node.holes) for node in plan.nodes] == [
        ("first[0]", (), ()), ("go", (0,), ()), ("then", (1,), (Hole((0, 0), Ref(1)),)), ("sleep", (2,), ()),
        ("first[1]", (3,), ()),
    ]  # fmt: skip
    named = to_plan(chain(first.s("go"), wait_for.s(), first.si(3), sleep)).nodes
    assert [node.holes for node in named[1::2]] == [(Hole((0, 0), Ref(0)),), (Hole((0, 0), Ref(2)),)]
    with pytest.raises(PlanError, match="it is not given name"):
        to_plan(chain(wait_for.s(), then.s()))


def test_outside_of_a_workflow_they_are_signatures() -> None:
    plan = to_plan(group(wait_for("a"), wait_for.si("b"), sleep(timedelta(hours=1))))
    assert [(node.name, node.task) for node in plan.nodes] == [("a", WAIT_FOR), ("b", WAIT_FOR), ("sleep", SLEEP)]
    assert arguments(plan.nodes[2]) == [[3600.0], {}]
    assert to_plan(wait_for("a")).name == WAIT_FOR


def test_they_are_the_same_on_the_database() -> None:
    assert Segue.wait_for is segue.wait_for is wait_for
    assert Segue.sleep is segue.sleep is sleep


def test_options_place_the_step() -> None:
    @workflow(name="placed")
    def placed() -> Any:
        a = first(1)
        rest = sleep.options(name="rest", queue="slow", delay=3, may_fail=True)(until=datetime(2027, 1, 1, tzinfo=UTC))
        return wait_for.options(name="approval", after=[a, rest], rule="all_done", when=a, sla_end=60)("approved")

    _, rest, wait = placed.plan().nodes
    assert (rest.name, rest.queue, rest.delay, rest.policy.may_fail) == ("rest", "slow", 3.0, True)
    assert arguments(rest) == [[], {"until": "2027-01-01T00:00:00Z"}]
    assert (wait.name, wait.parents, wait.rule, wait.when) == ("approval", (0, 1), JoinRule.ALL_DONE, Ref(0))
    assert wait.sla == Sla(end=60.0)
    assert wait_for("approved").placement.rule is JoinRule.ALL_SUCCEEDED


@pytest.mark.parametrize(
    "make, what",
    [
        (lambda: wait_for(""), "given the name ''"),
        (lambda: wait_for(7), "given the name 7"),
        (lambda: wait_for("x" * 201), "given the name"),
        (lambda: wait_for("x", timeout=0), "timeout=0 is out of range"),
        (lambda: wait_for("x", timeout="soon"), "timeout='soon' is not a duration"),
        (lambda: wait_for.options(retries=3), "wait_for.options(retries) has no effect"),
        (lambda: wait_for.options(timeout=3), "its timeout is an argument of wait_for"),
        (lambda: wait_for.options(delay=3), "wait_for.options(delay)"),
        (lambda: sleep.options(limits="db"), "sleep.options(limits)"),
        (lambda: wait_for.options(sla_end=-3), "sla_end=-3 is out of range"),
        (lambda: sleep(), "has no time"),
        (lambda: sleep(-1), "seconds=-1 is out of range"),
        (lambda: sleep(5, until=datetime(2027, 1, 1, tzinfo=UTC)), "give one of them"),
        (lambda: sleep(until=datetime(2027, 1, 1)), "has a time zone"),  # noqa: DTZ001 - that is the mistake
        (lambda: sleep(until="2027-01-01"), "has a time zone"),
        (lambda: sleep.options(timeout=3), "sleep.options(timeout) has no effect"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(make: Any, what: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert what in str(caught.value)


def test_a_chain_that_begins_with_a_wait_cannot_be_delayed() -> None:
    with pytest.raises(PlanError, match=r"it waits for a message and is delayed. Put segue.sleep"):
        to_plan(chain(wait_for.s("go"), then.s()).options(delay=3))
    to_plan(chain(sleep.s(3), first.si()).options(delay=3, retries=2, timeout=5))


# Deadlines, SLAs ------------------------------------------------------------------------------------------------------


def test_a_workflow_says_by_when_its_runs_start_and_end() -> None:
    @workflow(name="timely", deadline=timedelta(hours=1), sla_start=60, sla_end=1800)
    def timely() -> Any:
        return first.options(sla_start=5, sla_end=10, schedule_to_start=30)(1)

    plan = timely.plan()
    assert plan.terms is not None
    assert (plan.terms.deadline, plan.terms.sla) == (3600.0, Sla(60.0, 1800.0))
    assert (plan.nodes[0].sla, plan.nodes[0].policy) == (Sla(5.0, 10.0), Policy(schedule_to_start=30.0))


def test_a_task_says_how_long_it_may_be_ready() -> None:
    @task(name="urgent", schedule_to_start=timedelta(minutes=1))
    def urgent() -> None: ...

    assert urgent.policy.schedule_to_start == 60.0
    assert urgent.options(schedule_to_start=None).policy.schedule_to_start is None


@pytest.mark.parametrize("options", [{"deadline": 0}, {"sla_start": "soon"}, {"sla_end": -1}])
def test_times_that_make_no_sense_are_refused(options: Any) -> None:
    with pytest.raises(DefinitionError, match=next(iter(options))):

        @workflow(name="never", **options)
        def never() -> Any:
            return first(1)


def test_deadlines_and_slas_are_about_whole_runs() -> None:
    @workflow(name="inner", deadline=60)
    def inner() -> Any:
        return first(1)

    @workflow(name="outer")
    def outer() -> Any:
        return inner()

    with pytest.raises(DefinitionError, match="inner has a deadline or an SLA"):
        outer.plan()
    with pytest.raises(DefinitionError, match="but it was returned by a task"):
        _expansion(inner.s())


@pytest.mark.parametrize(
    "plan, what",
    [
        (Plan("p", (Node("a", "t", policy=Policy(schedule_to_start=0.0)),)), "its schedule_to_start is 0.0 seconds"),
        (Plan("p", (Node("a", "t", sla=Sla(start=-1.0)),)), "its sla_start is -1.0 seconds"),
        (Plan("p", (Node("a", "t"),), terms=RunTerms(deadline=float("nan"))), "its deadline is nan seconds"),
        (Plan("p", (Node("a", "t"),), terms=RunTerms(sla=Sla(end=0.0))), "its sla_end is 0.0 seconds"),
        (Plan("p", (Node("a", WAIT_FOR, run_at=datetime(2027, 1, 1, tzinfo=UTC)),)), "is delayed"),
    ],
)
def test_plans_made_by_hand_are_checked(plan: Plan, what: str) -> None:
    [problem] = find_problems(plan, lambda _: None)
    assert what in problem.what
