"""Fields for the parameters of a task, and back to its arguments."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from segue import task
from segue.authoring.describing.describe import describe
from segue.web.argument_fields import argument_fields, gathered
from segue.web.problems import ProblemError


@task(name="fields.everything")
def everything(
    first: int, /, day: str, count: int = 3, *more: int, mode: Literal["a", "b"] = "a", is_dry: bool = False,
    note: str | None = None, password: str = "s3cret", **rest: Any,
) -> None: ...  # fmt: skip


SCHEMA = json.loads(describe(everything).parameters)


def test_each_parameter_has_a_field_that_says_where_its_value_belongs() -> None:
    found = {field.name: field for field in argument_fields(SCHEMA)}
    assert list(found) == [
        "args:json:0", "kwargs:text:day", "kwargs:json:count", "args:list:", "kwargs:text:mode", "kwargs:json:is_dry",
        "kwargs:text:note", "kwargs:text:password", "kwargs:dict:",
    ]  # fmt: skip
    assert found["kwargs:text:day"].is_required
    assert found["kwargs:json:is_dry"].options == ("", "true", "false")
    assert "a" in found["kwargs:text:mode"].options
    assert "3" in found["kwargs:json:count"].hint
    assert not any(field.is_required for field in argument_fields(SCHEMA, required=False))


def test_a_secret_is_not_shown_as_a_default() -> None:
    [field] = [field for field in argument_fields(SCHEMA) if field.label == "password"]
    assert (field.kind, field.hint) == ("secret", "")


def test_what_was_filled_in_becomes_arguments() -> None:
    pairs = [
        ("name", "shop"), ("args:json:0", "7"), ("kwargs:text:day", "2026"),
        ("kwargs:json:count", "35447905672478681021"),
        ("kwargs:text:note", ""), ("args:list:", "[1, 2]"), ("kwargs:dict:", '{"a": [null]}'),
    ]  # fmt: skip
    found = dict(gathered(pairs))
    assert found["name"] == "shop"
    assert json.loads(found["args"]) == [7, 1, 2]
    assert json.loads(found["kwargs"]) == {"day": "2026", "count": 35447905672478681021, "a": [None]}


@pytest.mark.parametrize(
    "field, value",
    [("kwargs:json:count", "three"), ("args:list:", "{}"), ("kwargs:dict:", "[]"), ("args:json:1", "1"),
     ("kwargs:json:x", "[" * 100_000)],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(field: str, value: str) -> None:
    with pytest.raises(ProblemError):
        gathered([(field, value)])


def test_fields_of_operations_stay_as_they_are() -> None:
    pairs = [("reason", "a:b:c"), ("args", "[1]"), ("kwargs:odd:x", "1")]
    assert gathered(pairs) == pairs


@pytest.mark.parametrize(
    "schema", [{}, {"properties": None}, {"properties": {"a": True}}, {"properties": {"a": {"anyOf": []}}}]
)
def test_an_odd_schema_has_fields_nevertheless(schema: dict[str, Any]) -> None:
    assert all(field.name for field in argument_fields(schema))
