"""What tasks and workflows say of limits, and what their steps make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from segue import Limit, chain, group, shell, task, workflow
from segue.authoring import to_plan
from segue.authoring.declared import declared_limits
from segue.authoring.limits import collect, rate_of
from segue.errors import DefinitionError, PlanError
from segue.model import Expr, Gather, Ref, Value
from segue.plan.graph import LimitTerms, Node


def read(expr: Expr | None) -> object:
    """A key that is known as its text, another one as it is."""
    return msgspec.json.decode(expr.json) if isinstance(expr, Value) else expr


def needs(node: Node) -> list[tuple[str, object, int]]:
    return [(use.limit, read(use.key), use.cost) for use in node.uses]


def only(work: Any, *args: Any, **kwargs: Any) -> Node:
    [node] = to_plan(work, *args, **kwargs).nodes
    return node


def test_a_task_without_limits_needs_nothing() -> None:
    @task(name="t.plain")
    def plain(x: int) -> int: ...

    found = only(plain, 1)
    assert (found.uses, found.share, found.cost) == ((), None, 1)
    assert to_plan(plain, 1).limits == ()


def test_concurrency_and_rate_are_a_limit_of_the_task() -> None:
    @task(name="t.mail", concurrency=3, rate="100/min", burst=5)
    def mail(to: str) -> None: ...

    plan = to_plan(mail, "x")
    assert needs(plan.nodes[0]) == [("task:t.mail", None, 1)]
    assert plan.limits == (LimitTerms("task:t.mail", 3, 100.0, 60.0, 5),)


def test_keys_are_found_by_position_by_name_and_by_default() -> None:
    @task(name="t.fetch", limits=[Limit("api", key="{customer}/{region}"), Limit("page", key="page")])
    def fetch(customer: str, page: int = 1, *, region: str = "eu") -> None: ...

    assert needs(only(fetch, "c1")) == [("api", "c1/eu", 1), ("page", "1", 1)]
    assert needs(only(fetch, "c1", 7, region="us")) == [("api", "c1/us", 1), ("page", "7", 1)]
    assert needs(only(fetch, page=2, customer="c2")) == [("api", "c2/eu", 1), ("page", "2", 1)]


def test_a_key_may_lie_inside_an_argument() -> None:
    @dataclass
    class Order:
        customer: dict[str, str]

    @task(name="t.ship", limits=[Limit("customer", key="{order.customer.id}")])
    def ship(order: Order) -> None: ...

    assert needs(only(ship, Order({"id": "c1"}))) == [("customer", "c1", 1)]
    with pytest.raises(DefinitionError, match="has no such field"):
        to_plan(ship, Order({}))


def test_limits_without_a_name_are_the_tasks_own() -> None:
    @task(name="t.own", concurrency=9, limits=[Limit(key="customer", concurrency=1)])
    def own(customer: str) -> None: ...

    assert needs(only(own, "x")) == [("task:t.own", None, 1), ("task:t.own[customer]", "x", 1)]


def test_costs_are_of_the_step_or_of_one_limit() -> None:
    @task(name="t.heavy", limits=[Limit("a"), Limit("b", cost=5)], cost=2)
    def heavy() -> None: ...

    assert (needs(only(heavy)), only(heavy).cost) == ([("a", None, 2), ("b", None, 5)], 2)
    dearer = only(heavy.s().options(cost=7))
    assert (needs(dearer), dearer.cost) == ([("a", None, 7), ("b", None, 5)], 7)


def test_options_replace_the_named_limits_and_leave_the_tasks_own() -> None:
    @task(name="t.either", concurrency=2, limits=[Limit("a")])
    def either(x: str) -> None: ...

    assert needs(only(either.options(limits=[Limit("gpu", key="x")]).s("7"))) == [
        ("task:t.either", None, 1), ("gpu", "7", 1)
    ]  # fmt: skip
    assert needs(only(shell("true").options(limits=Limit("gpu")))) == [("gpu", None, 1)]
    with pytest.raises(DefinitionError, match="has no name"):
        to_plan(either.options(limits=[Limit(concurrency=3)]).s("7"))


def test_keys_may_depend_on_results() -> None:
    @task(name="t.find")
    def find() -> dict[str, str]: ...

    @task(name="t.use", limits=[Limit("customer", key="{of.id}-{kind}")], fair_by="of", fair_weights={"gold": 2})
    def use(of: dict[str, str], kind: str) -> None: ...

    @workflow(name="w.results")
    def flow() -> None:
        use(find(), "k")

    node = flow.plan().nodes[1]
    assert isinstance(node.uses[0].key, Gather)
    assert [part if isinstance(part, Ref) else read(part) for part in node.uses[0].key.items] == [
        Ref(0, ("id",)), "-", "k"
    ]  # fmt: skip
    assert node.share is not None
    assert (node.share.key, node.share.weights) == (Gather((Ref(0),)), {"gold": 2.0})


def test_keys_follow_when_steps_are_sorted() -> None:
    @task(name="t.first")
    def first() -> str: ...

    @task(name="t.then", limits=[Limit("a", key="x")], fair_by="x")
    def then(x: str) -> None: ...

    @workflow(name="w.sorted")
    def flow() -> None:
        early = first()
        then(early)
        last = first.options(name="last")()
        early.after(last)  # type: ignore[attr-defined]

    nodes = {node.name: (number, node) for number, node in enumerate(flow.plan().nodes)}
    _, node = nodes["then"]
    assert node.uses[0].key == Gather((Ref(nodes["first"][0]),))
    assert node.share is not None
    assert node.share.key == Gather((Ref(nodes["first"][0]),))


def test_a_chain_gives_the_key_to_the_next() -> None:
    @task(name="t.make")
    def make() -> str: ...

    @task(name="t.take", limits=[Limit("a", key="x")])
    def take(x: str, y: int = 1) -> None: ...

    nodes = to_plan(chain(make.s(), take.s(y=2))).nodes
    assert nodes[1].uses[0].key == Gather((Ref(0),))


def test_mapping_gives_each_item_its_key() -> None:
    @task(name="t.each", limits=[Limit("a", key="x")], fair_by="{who}")
    def each(x: str, who: str = "all") -> None: ...

    nodes = to_plan(each.map(["p", "q"], who="me")).nodes
    assert [needs(node) for node in nodes] == [[("a", "p", 1)], [("a", "q", 1)]]
    assert [read(node.share.key) for node in nodes if node.share] == ["me", "me"]


def test_a_map_over_a_result_leaves_limits_to_its_members() -> None:
    @task(name="t.list")
    def names() -> list[str]: ...

    @task(name="t.member", concurrency=1, limits=[Limit("a", key="x")], cost=2)
    def member(x: str) -> None: ...

    @workflow(name="w.mapped")
    def flow() -> None:
        member.map(names())

    [_, fan_out] = flow.plan().nodes
    assert (fan_out.task, fan_out.uses, fan_out.cost) == ("segue.map", (), 1)
    from segue.authoring.builtin import map_step

    args, kwargs = msgspec.json.decode(fan_out.args, type=tuple[list[Any], dict[str, Any]])
    args, kwargs = map_step.converters.apply("map", [["p", "q"]], kwargs)
    made = to_plan(map_step.fn(*args, **kwargs)).nodes
    assert [needs(node) for node in made] == [
        [("task:t.member", None, 2), ("a", key, 2)] for key in "pq"
    ]  # fmt: skip


def test_a_batch_has_the_keys_that_its_items_share() -> None:
    @task(name="t.batched", concurrency=2, limits=[Limit("a", key="who")])
    def batched(x: int, who: str) -> None: ...

    nodes = to_plan(batched.map([1, 2, 3], batch=2, who="me")).nodes
    assert needs(nodes[0]) == [("task:t.batched", None, 1), ("a", "me", 1)]

    @task(name="t.unbatched", limits=[Limit("a", key="x")])
    def unbatched(x: int) -> None: ...

    with pytest.raises(DefinitionError, match="batch"):
        to_plan(unbatched.map([1, 2], batch=2))


def test_weights_are_those_of_the_key() -> None:
    @task(name="t.fair", fair_by="tier", fair_weights={"gold": 3})
    def fair(tier: str) -> None: ...

    turns = [only(fair, tier).share for tier in ("gold", "plain")]
    assert [(read(turn.key), turn.weight, turn.weights) for turn in turns if turn] == [
        ("gold", 3.0, {}), ("plain", 1.0, {})
    ]  # fmt: skip


def test_steps_of_a_workflow_take_turns_by_its_argument() -> None:
    @task(name="t.inner")
    def inner() -> str: ...

    @task(name="t.own_turn", fair_by="x")
    def own_turn(x: str) -> str: ...

    @workflow(name="w.outer", fair_by="tenant", fair_weights={"t1": 2})
    def outer(tenant: str) -> None:
        group(inner.s(), own_turn.s("mine"))()

    turns = [node.share for node in outer.plan("t1").nodes]
    assert [(read(turn.key), turn.weight) for turn in turns if turn] == [("t1", 2.0), ("mine", 1.0)]


def test_an_inlined_workflow_has_its_own_turn_or_that_of_the_outer_one() -> None:
    @task(name="t.leaf")
    def leaf() -> str: ...

    @workflow(name="w.own", fair_by="who")
    def own(who: str) -> None:
        leaf()

    @workflow(name="w.none")
    def none() -> None:
        leaf()

    @workflow(name="w.around", fair_by="tenant")
    def around(tenant: str) -> None:
        own("me")
        none()

    @workflow(name="w.unknown")
    def unknown() -> None:
        own(leaf())

    assert [read(node.share.key) for node in around.plan("t").nodes if node.share] == ["me", "t"]
    with pytest.raises(DefinitionError, match="not known yet"):
        unknown.plan()


def test_a_workflow_may_have_so_many_runs_at_once() -> None:
    @task(name="t.body")
    def body() -> str: ...

    @workflow(name="w.few", concurrency=2, concurrency_key="{customer}/{region}")
    def few(customer: str, region: str = "eu") -> None:
        body()

    plan = few.plan("c1")
    assert plan.terms is not None
    assert plan.terms.limit is not None
    assert (plan.terms.limit.limit, read(plan.terms.limit.key)) == ("workflow:w.few", "c1/eu")
    assert plan.limits == (LimitTerms("workflow:w.few", 2),)

    @workflow(name="w.outside")
    def outside() -> None:
        few("c1")

    with pytest.raises(DefinitionError, match="about whole runs"):
        outside.plan()


def test_what_is_declared_is_collected_and_must_agree() -> None:
    @task(name="t.one", limits=[Limit("shared", concurrency=4)])
    def one() -> None: ...

    @task(name="t.two", limits=[Limit("shared")], rate=(3, 9.0))
    def two() -> None: ...

    found = {terms.name: terms for terms in declared_limits()}
    assert found["shared"] == LimitTerms("shared", 4)
    assert found["task:t.two"] == LimitTerms("task:t.two", None, 3.0, 9.0)

    @task(name="t.three", limits=[Limit("shared", concurrency=5)])
    def three() -> None: ...

    with pytest.raises(DefinitionError, match="4 at once in one place of the code and 5 at once in another"):
        declared_limits()
    with pytest.raises(DefinitionError, match="declare its size once"):
        to_plan(group(one.s(), three.s()))
    assert collect([None]) == {}


@pytest.mark.parametrize(
    "rate, found",
    [
        ("10/s", (10, 1)), ("100/min", (100, 60)), ("5/30s", (5, 30)), ("2 / 3 hours", (2, 10800)), ("1/d", (1, 86400)),
        ("0.5/sec", (0.5, 1)), ((7, 2), (7, 2)), ([7, 2.5], (7, 2.5)),
    ],
)  # fmt: skip
def test_rates_are_read(rate: object, found: tuple[float, float]) -> None:
    assert rate_of("x", rate) == found


@pytest.mark.parametrize(
    "rate", ["fast", "10", "10/", "/s", "0/s", "-1/s", "10/fortnight", (1,), (1, 0), (0, 1), 5, True]
)
def test_what_is_no_rate_is_refused(rate: object) -> None:
    with pytest.raises(DefinitionError, match="is not a rate; write"):
        rate_of("x", rate)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"concurrency": 0}, "not a number of places"),
        ({"concurrency": True}, "not a number of places"),
        ({"burst": 3}, "burst= needs rate="),
        ({"cost": 0}, "cost=0"),
        ({"limits": ["api"]}, "write limits="),
        ({"limits": [Limit("a", key="nope")]}, "names 'nope', which is not one of its parameters"),
        ({"limits": [Limit("a", key="{x}/{nope}")]}, "names 'nope', which is not one of its parameters"),
        ({"limits": [Limit(key="x")]}, "without a name, a concurrency or a rate"),
        ({"limits": [Limit("queue:a")]}, "has a colon"),
        ({"limits": [Limit("x" * 101)]}, "has 101 bytes and may have 100"),
        ({"limits": [Limit(f"l{number}") for number in range(6)]}, "may name 5"),
        ({"fair_by": "nope"}, "is not one of its parameters"),
        ({"fair_weights": {"a": 1}}, "needs fair_by="),
        ({"fair_by": "x", "fair_weights": {"a": 0}}, "weights above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):

        @task(name="t.bad", **options)
        def bad(x: str) -> None: ...


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Limit("a", concurrency=-1), "not a number of places"),
        (lambda: Limit("a", cost=0), "cost=0"),
        (lambda: Limit("a", rate="x"), "is not a rate"),
        (lambda: Limit("a", rate="1/s", burst=0), "burst=0"),
        (lambda: Limit("a", key=""), "not the name of a parameter"),
        (lambda: Limit("a", key="{}"), "has no parameter in its braces"),
        (lambda: Limit("a", key="{x"), "cannot be read"),
        (lambda: Limit(7), "not a text"),  # type: ignore[arg-type]
    ],
)
def test_limits_that_make_no_sense_are_refused(make: Callable[[], Limit], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        make()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"concurrency": 0}, "not a number of places"),
        ({"concurrency_key": "x"}, "needs concurrency="),
        ({"concurrency": 1, "concurrency_key": "nope"}, "is not one of its parameters"),
        ({"fair_by": "nope"}, "is not one of its parameters"),
    ],
)
def test_options_of_workflows_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):

        @workflow(name="w.bad", **options)
        def bad(x: str) -> None: ...


def test_a_hook_cannot_be_limited_by_what_it_is_told() -> None:
    @task(name="t.alert", limits=[Limit("a", key="info")])
    def alert(info: Any) -> None: ...

    @task(name="t.do")
    def do() -> None: ...

    @workflow(name="w.hooked", on_failure=alert.s())
    def hooked() -> None:
        do()

    with pytest.raises(PlanError, match="depends on the outcome of the run"):
        hooked.plan()
