"""Random plans: every join rule, joins, conditions, hooks, policies, and plans for tasks to return."""

from __future__ import annotations

from hypothesis import strategies as st

from segue.model import Gather, Hole, Hook, JoinRule, Ref
from segue.plan.graph import Node, Plan
from tests.contract.stage import TASK, node, value

ALWAYS = JoinRule.ALL_SUCCEEDED
EARLY = (JoinRule.ANY_SUCCEEDED, JoinRule.ANY_FAILED)


@st.composite
def plans(draw: st.DrawFn, *, most: int = 7, least: int = 0, prefix: str = "s", fail_fast: bool = True) -> Plan:
    """A plan of up to `most` steps and three hooks, each with what a plan may say."""
    nodes: list[Node] = []
    for number in range(draw(st.integers(least, most))):
        nodes.append(draw(_steps(f"{prefix}{number}", number, tuple(range(number)))))
    for number in range(draw(st.sampled_from([0, 0, 0, 1, 2, 3]))):
        nodes.append(draw(_hooks(f"{prefix}hook{number}", nodes)))
    plain = [Ref(number) for number, each in enumerate(nodes) if each.hook is None]
    result = draw(st.sampled_from([None, value(1), value(0), *plain[-1:] * 2]))
    return Plan("flow", tuple(nodes), result, fail_fast=fail_fast and draw(st.sampled_from([False, False, True])))


@st.composite
def calls(draw: st.DrawFn, *, name: str = "call") -> Plan:
    """What a task returns that ends with the call of another one, or of itself."""
    called = draw(_steps(name, 0, ()))
    return Plan("called", (called,), draw(st.sampled_from([Ref(0), Ref(0), Ref(0), value(1)])))


@st.composite
def races(draw: st.DrawFn) -> Plan:
    """Some roots, steps that start as soon as one of them has ended, and steps that wait for those."""
    roots = [node(f"root{number}") for number in range(draw(st.integers(2, 3)))]
    count = len(roots)
    nodes = list(roots)
    for number in range(draw(st.integers(1, 2))):
        parents = draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=count, unique=True))
        nodes.append(node(f"early{number}", *parents, rule=draw(st.sampled_from(EARLY))))
    nodes.append(node("after", count))
    return Plan("race", tuple(nodes))


@st.composite
def _steps(draw: st.DrawFn, name: str, number: int, before: tuple[int, ...]) -> Node:
    # Those just before are likelier, so that chains and diamonds come up as often as heaps of roots.
    parents = tuple(sorted(draw(st.sets(st.sampled_from(before[-3:]), max_size=3)))) if before else ()
    rule = draw(st.sampled_from([*JoinRule, *EARLY])) if parents else ALWAYS
    is_join = draw(st.sampled_from([False, False, False, True]))
    if is_join:
        return node(name, *parents, rule=rule, task=None, result=Gather(tuple(Ref(parent) for parent in parents)))
    conditions = [None, None, None, value(True), value([]), *[Ref(parent) for parent in parents]]
    return node(
        name, *parents, rule=rule, task=TASK, args='[[null],{}]' if parents else "[[],{}]",
        holes=(Hole((0, 0), Gather(tuple(Ref(parent) for parent in parents))),) if parents else (),
        when=draw(st.sampled_from(conditions)), may_fail=draw(st.sampled_from([False, False, True])),
        retries=draw(st.integers(0, 2)), lost_retries=draw(st.integers(0, 1)),
        priority=draw(st.sampled_from([5, 5, 0, 9])),
    )  # fmt: skip


@st.composite
def _hooks(draw: st.DrawFn, name: str, nodes: list[Node]) -> Node:
    kind = draw(st.sampled_from(Hook))
    same = [number for number, other in enumerate(nodes) if other.hook is kind]
    parents = tuple(draw(st.sets(st.sampled_from(same), max_size=1))) if same else ()
    return node(name, *parents, hook=kind, rule=draw(st.sampled_from([ALWAYS, JoinRule.ALL_DONE])),
                task=draw(st.sampled_from([TASK, TASK, None])), retries=draw(st.integers(0, 1)),
                may_fail=draw(st.booleans()))  # fmt: skip
