"""Namespaces: keep apart applications that share one database. Pure.

A name that must be unique in the database (of a workflow, queue, limit, schedule, subscription) is *stored* with its
namespace in front of it, and *shown* without it. In the default namespace, which is '', both are the same. The two are
separated by a character that no name may contain, so names of different namespaces are never equal.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from segue.errors import ConfigError, PlanError, Problem
from segue.given import shown as repr_of
from segue.plan.graph import LimitTerms, LimitUse, Node, Plan
from segue.plan.indexed import MOST_NAME_BYTES, MOST_QUEUE_BYTES, SEPARATOR, text_problem
from segue.plan.lanes import lane_problem

EVERY = "*"
"""Covers all namespaces, for reading and for changes by id. Nothing can be started in it."""

DEFAULT = ""
LONGEST = 40
_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{LONGEST}}}")


def check_namespace(name: object, *, may_be_every: bool = True) -> str:
    """The namespace. Raises ConfigError for an invalid one."""
    if name == DEFAULT or (may_be_every and name == EVERY):
        return str(name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        every = ", or '*' for all" if may_be_every else ""
        raise ConfigError(
            f"namespace={repr_of(name)} is not a namespace. Give 1 to {LONGEST} letters, digits, '_', '-' or '.'; '' "
            f"for the default one{every}."
        )
    return name


def prefix_of(namespace: str) -> str | None:
    """The prefix of its stored names; None for all namespaces."""
    if namespace == EVERY:
        return None
    return namespace + SEPARATOR if namespace else ""


def stored(namespace: str, name: str) -> str:
    """The stored form of a name. Raises ConfigError if it contains the separator, or if all namespaces are meant."""
    if namespace == EVERY:
        raise ConfigError(
            f"{name!r} may be in several namespaces, and namespace='*' stands for all of them. Name the one that "
            "is meant."
        )
    if SEPARATOR in name:
        raise ConfigError(f"{name!r} contains the character U+001F, which no name may contain. Leave it out.")
    return f"{namespace}{SEPARATOR}{name}" if namespace else name


def beside(stored_name: str, name: str) -> str:
    """The stored form of another name in the namespace of a stored one."""
    return stored_name[: stored_name.find(SEPARATOR) + 1] + name


def namespace_of(stored_name: str) -> str:
    """The namespace of a stored name."""
    return stored_name[: max(stored_name.find(SEPARATOR), 0)]


def bare(stored_name: str) -> str:
    """A stored name without its namespace, as it is shown."""
    return stored_name[stored_name.find(SEPARATOR) + 1 :]


def is_in(prefix: str | None, stored_name: str) -> bool:
    """Whether a stored name is in the namespace with this prefix; with `None`, all are."""
    return prefix is None or stored_name[: stored_name.find(SEPARATOR) + 1] == prefix


def plan_in(plan: Plan, namespace: str) -> Plan:
    """The plan with stored names. Raises PlanError if one becomes too long."""
    if namespace == DEFAULT:
        return plan
    prefix = stored(namespace, "")
    nodes = tuple(_node_in(node, prefix) for node in plan.nodes)
    problems = [problem for node in nodes if (problem := _problem(node)) is not None]
    wrong = text_problem(prefix + plan.name, MOST_NAME_BYTES)
    if wrong is not None:
        problems.append(Problem("the workflow", f"its name with the namespace {wrong}", "shorten one of them"))
    if problems:
        raise PlanError(plan.name, problems)
    terms = plan.terms
    if terms is not None and terms.limit is not None:
        terms = msgspec.structs.replace(terms, limit=_use_in(terms.limit, prefix))
    return msgspec.structs.replace(
        plan, name=prefix + plan.name, nodes=nodes, terms=terms, limits=limits_in(plan.limits, namespace)
    )


def limits_in(limits: tuple[LimitTerms, ...], namespace: str) -> tuple[LimitTerms, ...]:
    """Limits with stored names."""
    if namespace == DEFAULT:
        return limits
    return tuple(msgspec.structs.replace(terms, name=stored(namespace, terms.name)) for terms in limits)


def _node_in(node: Node, prefix: str) -> Node:
    changes: dict[str, Any] = {"queue": prefix + node.queue}
    if node.uses:
        changes["uses"] = tuple(_use_in(use, prefix) for use in node.uses)
    return msgspec.structs.replace(node, **changes)


def _use_in(use: LimitUse, prefix: str) -> LimitUse:
    return msgspec.structs.replace(use, limit=prefix + use.limit)


def _problem(node: Node) -> Problem | None:
    wrong = text_problem(node.queue, MOST_QUEUE_BYTES)
    if wrong is not None:
        return Problem(node.name, f"its queue with the namespace {wrong}", "shorten one of them")
    wrong = lane_problem(node) if node.uses or node.share is not None else None
    return None if wrong is None else Problem(node.name, f"{wrong}, with the namespace", "shorten one of them")
