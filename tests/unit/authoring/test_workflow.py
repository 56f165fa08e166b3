"""Workflows: tracing a function, what handles may do and may not, sub-workflows, hooks, fan-out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segue.authoring import Handle, chain, find_workflow, group, is_plan, task, to_plan, workflow
from segue.authoring.schedule import Schedule
from segue.authoring.values import decode
from segue.errors import DefinitionError, PlanError, UnknownTaskError
from segue.model import RUN, Hook, JoinRule, Ref
from segue.plan.graph import Plan
from tests.unit.authoring.plan_runner import run_plan

pytestmark = pytest.mark.unit


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def double(x: int, *, by: int = 2) -> int:
    return x * by


@task
def add(x: int, y: int) -> int:
    return x + y


@task
async def wait_for(x: int) -> int:
    return x + 100


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@task
def pair(x: int) -> dict[str, Any]:
    return {"value": x, "list": [x, x + 1]}


@task
def countdown(n: int) -> Any:
    return countdown.s(n - 1) if n else "liftoff"


@workflow
def doubled_sum(n: int) -> int:
    return total(double.map(numbers(n)))


@workflow(queue="sub")
def both(n: int) -> dict[str, Any]:
    return {"one": double(n), "sum": doubled_sum(n), "known": 7}


def traced(fn: Callable[..., Any], *args: Any, **options: Any) -> Plan:
    return workflow(name=f"test.{fn.__name__}", **options)(fn).plan(*args)


def test_calls_become_steps_and_arguments_references() -> None:
    plan = doubled_sum.plan(4)
    assert [node.name for node in plan.nodes] == ["numbers", "double.map", "total"]
    assert [node.parents for node in plan.nodes] == [(), (0,), (1,)]
    assert plan.result == Ref(2)
    assert run_plan(plan) == 12


@pytest.mark.parametrize("n", [0, 1, 2, 7])
@pytest.mark.parametrize("batch", [None, 1, 3, 100])
@pytest.mark.parametrize("mapped", [double, wait_for])
def test_map_gives_one_result_for_each_item(n: int, batch: int | None, mapped: Any) -> None:
    import asyncio

    def plain(x: int) -> int:
        return x * 2 if mapped is double else x + 100

    fan_out: Any = mapped.map(batch=batch) if batch else mapped.map()
    plan = to_plan(chain(numbers.s(n), fan_out))
    if mapped is double:
        assert run_plan(plan) == [plain(x) for x in range(n)]
    fixed = to_plan(chain(mapped.map(list(range(n)), batch=batch)))
    expected = n if batch is None else -(-n // batch) + (1 if n else 0)
    assert len(fixed.nodes) == expected
    if mapped is wait_for and batch and n:
        batch_task = fixed.nodes[0]
        assert batch_task.task == "segue.map_batch_async"
        args, kwargs = decode(batch_task.args)
        from segue.authoring import find_task

        assert asyncio.run(find_task(batch_task.task).fn(*args, **kwargs)) == [plain(x) for x in args[0]]


def test_fixed_arguments_and_placement_go_to_every_mapped_step() -> None:
    def spread() -> Any:
        return double.options(queue="net", retries=3).map(numbers(3), by=add(1, 9))

    plan = traced(spread)
    assert run_plan(plan) == [0, 10, 20]
    step = next(node for node in plan.nodes if node.task == "segue.map")
    from segue.authoring.builtin import map_step

    kwargs = decode(step.args)[1]
    kwargs["fixed"] = {"by": 10}
    _, kwargs = map_step.converters.apply("segue.map", [], kwargs)
    made = to_plan(map_step.fn([1, 2], **kwargs))
    assert {(node.queue, node.policy.retries) for node in made.nodes} == {("net", 3)}


def test_starmap_spreads_each_item_over_the_arguments() -> None:
    assert run_plan(to_plan(add.starmap([[1, 2], [3, 4]]))) == [3, 7]
    assert run_plan(to_plan(add.starmap([[1, 2], [3, 4]], batch=5))) == [3, 7]


@pytest.mark.parametrize("wrong", ["text", 5, {"a": 1}, None])
def test_mapping_over_what_is_no_list_says_so(wrong: object) -> None:
    from segue.authoring.builtin import map_step

    with pytest.raises(DefinitionError, match="needs a list"):
        double.map(wrong)
    told: Any = {"target": double.name, "fixed": {}, "batch": None, "star": False, "is_async": False}
    with pytest.raises(DefinitionError, match="needs a list"):
        map_step.fn(wrong, placement=double.placement, **told)


def test_handles_may_lie_in_lists_tuples_and_dicts_and_be_indexed() -> None:
    @task(name="test.shapes")
    def shapes(x: Any, **more: Any) -> Any:
        return [x, more]

    def shaped() -> Any:
        a = pair(1)
        b = pair(2)
        return shapes(
            [a["value"], (b["list"][1], 5)], more={"deep": [{"x": a["list"][0]}]}, all=[a["value"], b["value"]]
        )

    assert run_plan(traced(shaped)) == [[1, [3, 5]], {"more": {"deep": [{"x": 1}]}, "all": [1, 2]}]


def test_a_result_may_be_any_shape_of_handles_and_literals() -> None:
    def shaped() -> Any:
        a = double(1)
        g = group(double.s(2), double.s(3))()
        return {"a": a, "list": [a, 5, {"b": g[1]}], "none": None, "group": g}

    assert run_plan(traced(shaped)) == {"a": 2, "list": [2, 5, {"b": 6}], "none": None, "group": [4, 6]}
    assert run_plan(traced(lambda_free_literal)) == {"fixed": [1]}
    assert traced(nothing_returned).result is None


def lambda_free_literal() -> Any:
    return {"fixed": [1]}


def nothing_returned() -> None:
    double(1)


def test_a_result_used_by_many_goes_through_one_join() -> None:
    def wide() -> Any:
        g = group(double.s(i) for i in range(20))()
        return [total(g) for _ in range(30)]

    plan = traced(wide)
    assert sum(len(node.parents) for node in plan.nodes) <= 20 + 20 + 30
    assert run_plan(plan) == [380] * 30


def test_a_sub_workflow_is_inlined_under_its_name() -> None:
    def outer() -> Any:
        first = both(1)
        second = both(n=first["one"])
        return [first["sum"], second["one"], second["known"]]

    plan = traced(outer, queue="main")
    names = [node.name for node in plan.nodes]
    assert names[0] == "both[0]/double"
    assert "both[1]/doubled_sum/numbers" in names
    assert len(set(names)) == len(names)
    assert {node.queue for node in plan.nodes} == {"sub"}
    assert run_plan(plan) == [0, 4, 7]


def test_a_workflow_may_be_an_element_of_a_chain() -> None:
    assert run_plan(to_plan(chain(double.s(2), both.s(), pair.si(1)))) == {"value": 1, "list": [1, 2]}
    plan = to_plan(chain(double.s(2), doubled_sum.s()))
    assert run_plan(plan) == 12
    quiet = workflow(name="test.quiet")(nothing_returned)
    after = to_plan(chain(double.s(1), quiet.si(), double.si(9)))
    assert [node.parents for node in after.nodes] == [(), (0,), (1,)]


def test_a_task_that_returns_a_plan_is_recognised() -> None:
    assert run_plan(to_plan(countdown.s(5))) == "liftoff"
    for value in (double.s(1), chain(double.s(1)), group(), both.s(1), both.plan(1)):
        assert is_plan(value)
        assert isinstance(to_plan(value), Plan)
    for other in (double, both, 1, [double.s(1)]):
        assert not is_plan(other)


def test_after_orders_steps_and_may_name_later_ones() -> None:
    def ordered() -> Any:
        a: Any = double(1)
        b: Any = double(2)
        c: Any = add(3, 4)
        a.after(c, rule="all_done")
        b.after(a, c)
        return [a, b, c]

    plan = traced(ordered)
    assert [(node.name, tuple(sorted(node.parents))) for node in plan.nodes] == [
        ("add", ()),
        ("double[0]", (0,)),
        ("double[1]", (0, 1)),
    ]
    assert plan.nodes[1].rule is JoinRule.ALL_DONE
    assert run_plan(plan) == [2, 4, 7]


def test_a_cycle_is_reported_with_the_names_on_it() -> None:
    def round_and_round() -> Any:
        a: Any = double(1)
        b: Any = add(a, 1)
        a.after(b)
        return b

    with pytest.raises(PlanError, match=r"waits for itself: (double -> add -> double|add -> double -> add)"):
        traced(round_and_round)


def test_a_condition_skips_a_step() -> None:
    def conditional() -> Any:
        flag = double(0)
        skipped: Any = double(5)
        skipped.when(flag)
        taken = double.options(when=numbers(1))(6)
        return [skipped, taken]

    assert run_plan(traced(conditional)) == [None, 12]


@pytest.mark.parametrize(
    "use",
    [
        lambda h: bool(h),
        lambda h: len(h),
        lambda h: list(h),
        lambda h: 1 in h,
        lambda h: h + 1,
        lambda h: 1 + h,
        lambda h: h == 3,
        lambda h: h < 3,
        lambda h: f"{h}",
        lambda h: str(h),
        lambda h: int(h),
        lambda h: h.value,
        lambda h: h[1.5],
        lambda h: h(),
        lambda h: -h,
    ],
)
def test_using_a_handle_as_if_it_were_known_says_what_to_do(use: Callable[[Any], Any]) -> None:
    def wrong() -> None:
        use(double(1))

    with pytest.raises(DefinitionError, match=r"handle\[|task\.map|taken by"):
        traced(wrong)


def test_a_handle_in_a_chain_says_what_to_write() -> None:
    def wrong() -> None:
        chain(double(1), double.s())

    with pytest.raises(DefinitionError, match=r"task\.s\("):
        traced(wrong)


def test_a_handle_of_another_workflow_is_refused() -> None:
    kept: list[Any] = []

    def keeps() -> None:
        kept.append(double(1))

    def uses() -> Any:
        return double(kept[0])

    traced(keeps)
    with pytest.raises(DefinitionError, match="another workflow"):
        traced(uses)


def test_a_handle_inside_an_object_is_reported() -> None:
    from dataclasses import dataclass

    @dataclass
    class Box:
        content: Any

    def boxed() -> Any:
        return add(Box(double(1)), 2)  # type: ignore[arg-type]

    with pytest.raises(PlanError, match="not a list, tuple or dict"):
        traced(boxed)


def test_hooks_wait_for_the_outcome_and_may_receive_it() -> None:
    plan = traced(nothing_returned, on_success=double.s(), on_failure=pair.si(1), finally_=numbers.s())
    hooks = {node.hook: node for node in plan.nodes if node.hook}
    assert set(hooks) == set(Hook)
    assert [hole.what for hole in hooks[Hook.ON_SUCCESS].holes] == [Ref(RUN)]
    assert hooks[Hook.ON_FAILURE].holes == ()
    assert all(node.parents == () for node in hooks.values())


def test_a_workflow_keeps_what_it_was_given() -> None:
    made = workflow(name="test.kept", schedule="0 2 * * *", timezone="Europe/Paris", fail_fast=True, tags=["a"])(
        nothing_returned
    )
    assert (made.schedule, made.tags) == (Schedule("0 2 * * *", timezone="Europe/Paris"), ("a",))
    assert made.plan().fail_fast
    assert find_workflow("test.kept") is made
    with pytest.raises(UnknownTaskError, match=r"did you mean 'test\.kept'"):
        find_workflow("test.keppt")


def test_a_workflow_with_hooks_cannot_be_a_part_of_another() -> None:
    inner = workflow(name="test.inner", on_failure=double.s())(nothing_returned)

    def outer() -> Any:
        return inner()

    with pytest.raises(DefinitionError, match="on_failure"):
        traced(outer)


def test_recursion_without_end_is_stopped_with_advice() -> None:
    def endless() -> Any:
        return again()

    again = workflow(name="test.endless")(endless)
    with pytest.raises(DefinitionError, match=r"return endless\.s\("):
        again.plan()


def test_calling_a_workflow_outside_of_one_says_what_to_do() -> None:
    with pytest.raises(DefinitionError, match=r"segue\.run\(both"):
        both(1)


def test_wrong_arguments_of_a_workflow_are_named() -> None:
    with pytest.raises(DefinitionError, match="it is not given n"):
        to_plan(both)


def test_async_and_yielding_workflows_are_refused() -> None:
    async def later() -> None: ...

    with pytest.raises(DefinitionError, match="plain def"):
        workflow(name="test.later")(later)


def test_a_failing_trace_leaves_no_workflow_open() -> None:
    def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        traced(broken)
    assert double(2) == 4


def test_a_group_in_a_workflow_is_a_handle_of_a_list() -> None:
    def grouped() -> Any:
        made: Any = group(double.s(1), chain(double.s(2), double.s()))()
        assert isinstance(made, Handle)
        return [made[-1], made]

    assert run_plan(traced(grouped)) == [8, [2, 8]]
