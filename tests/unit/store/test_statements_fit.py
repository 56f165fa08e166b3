"""What the code says of statements, held beside the statements: names that exist, and the parameters that they take.

Statements are called by name and with keywords, so no type checker sees a slip. A test that runs the call would. This
one reads all of them, in both dialects.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import segue
from segue.store import named

PACKAGE = Path(segue.__file__).parent
CALLS = ("all", "later", "each")
OF_THE_STORE = "store"  # where statements are run as they are, and not by name
FEWEST_CALLS = 200  # or the rule does not find them any more
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_TEXT = re.compile(r"'[^']*'")


class Call(NamedTuple):
    """One call of a statement whose name is written there."""

    where: str
    method: str
    statement: str
    keywords: frozenset[str]
    is_open: bool  # it passes on keywords that are not written there (`**fields`)


@cache
def calls() -> list[Call]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] != OF_THE_STORE:
            found += list(calls_in(ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(PACKAGE))))
    return found


def calls_in(tree: ast.Module, file: str) -> Iterator[Call]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function = node.func
        method = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if method in CALLS:
            keywords = frozenset(keyword.arg for keyword in node.keywords if keyword.arg is not None)
            is_open = any(keyword.arg is None for keyword in node.keywords)
            for statement in names_in(node.args[0]):
                yield Call(f"{file}:{node.lineno}", method, statement, keywords, is_open)


def names_in(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from names_in(node.body)
        yield from names_in(node.orelse)


def parameters_of(statement: named.Statement) -> set[str]:
    return set(_PARAMETER.findall(_TEXT.sub("", statement.sql)))


@pytest.mark.parametrize("dialect", named.DIALECTS)
def test_every_statement_that_is_called_exists_and_takes_what_it_is_given(dialect: str) -> None:
    statements, all_calls = named.load(dialect), calls()
    assert len(all_calls) >= FEWEST_CALLS
    problems = [problem for call in all_calls for problem in problems_of(call, statements.get(call.statement))]
    assert problems == []


def problems_of(call: Call, statement: named.Statement | None) -> list[str]:
    if statement is None:
        return [f"{call.where}: there is no statement {call.statement}"]
    if call.method == "each":
        return [] if statement.columns else [f"{call.where}: {call.statement} is no batch statement"]
    wanted = parameters_of(statement)
    missing = set() if call.is_open else wanted - call.keywords
    return [f"{call.where}: {call.statement} needs {name}" for name in sorted(missing)]


def test_no_call_gives_what_no_dialect_asks_for() -> None:
    wanted: dict[str, set[str]] = {}
    for dialect in named.DIALECTS:
        for name, statement in named.load(dialect).items():
            wanted.setdefault(name, set()).update(parameters_of(statement))
    surplus = [
        f"{call.where}: {call.statement} knows no {name}"
        for call in calls()
        for name in sorted(call.keywords - wanted.get(call.statement, call.keywords))
    ]
    assert surplus == []


@pytest.mark.parametrize(
    "code, problem",
    [
        ('tx.all("no_such_statement")', "there is no statement no_such_statement"),
        ('tx.all("run_status")', "run_status needs run_id"),
        ('tx.each("run_status", rows)', "run_status is no batch statement"),
    ],
)
def test_the_rule_bites(code: str, problem: str) -> None:
    [call] = calls_in(ast.parse(code), "x.py")
    assert problems_of(call, named.load("sqlite").get(call.statement)) == [f"x.py:1: {problem}"]
