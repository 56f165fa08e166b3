"""Tags and metadata: what they may be, and what of them is searched."""

from __future__ import annotations

from typing import Any

import pytest

from segue.errors import ConfigError, DefinitionError
from segue.plan.graph import Plan, RunTerms
from segue.plan.labels import (
    MAX_LABEL_NAME,
    MAX_LABEL_VALUE,
    MAX_METADATA_BYTES,
    MAX_TAGS,
    checked_tags,
    encoded_metadata,
    joined_metadata,
    label_value,
    labels_of,
    with_terms,
)


def test_tags_are_kept_in_order_and_once() -> None:
    assert checked_tags("x", ["b", "a", "b"]) == ("b", "a")
    assert checked_tags("x", {"b", "a"}) == ("a", "b")
    assert checked_tags("x", ()) == ()


@pytest.mark.parametrize("tags", ["nightly", None, 3, [1], [""], [" "], ["a\tb"], ["x" * 201], {"a": 1}])
def test_what_is_no_tag_is_refused(tags: Any) -> None:
    with pytest.raises(ConfigError, match=r"^start: tags="):
        checked_tags("start", tags)
    with pytest.raises(DefinitionError):
        checked_tags("start", tags, error=DefinitionError)


def test_there_may_be_so_many_tags() -> None:
    assert len(checked_tags("x", [str(number) for number in range(MAX_TAGS)])) == MAX_TAGS
    with pytest.raises(ConfigError, match="put the rest into metadata"):
        checked_tags("x", [str(number) for number in range(MAX_TAGS + 1)])


def test_metadata_is_a_json_object() -> None:
    assert encoded_metadata("x", {}) is None
    assert encoded_metadata("x", {"a": 1, "b": ["c"]}) == '{"a":1,"b":["c"]}'


@pytest.mark.parametrize("metadata", [[1], "a", {1: 2}, {"": 1}, {"a": object()}, {"a": "x" * MAX_METADATA_BYTES}])
def test_what_is_no_metadata_is_refused(metadata: Any) -> None:
    with pytest.raises(ConfigError, match=r"^start: metadata"):
        encoded_metadata("start", metadata)


def test_metadata_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["me"] = endless
    with pytest.raises(ConfigError, match="contains itself"):
        encoded_metadata("start", endless)


@pytest.mark.parametrize(
    "value, text",
    [("a", "a"), (42, "42"), (1.5, "1.5"), (True, "true"), (None, "null"), ("42", "42"), ([1], None), ({}, None),
     ("x" * (MAX_LABEL_VALUE + 1), None), ("a\0b", None)],
)  # fmt: skip
def test_plain_values_are_searched(value: object, text: str | None) -> None:
    assert label_value(value) == text


def test_labels_are_of_tags_and_plain_metadata() -> None:
    long = "k" * (MAX_LABEL_NAME + 1)
    assert labels_of(["t"], f'{{"a":1,"deep":{{"b":2}},"{long}":3}}') == [("", "t"), ("a", "1")]


def test_terms_are_added() -> None:
    plan = Plan("p", (), terms=RunTerms(arguments="[[],{}]", tags=("a",), metadata='{"x":1,"y":1}'))
    terms = with_terms(plan, RunTerms(tags=("b", "a"), metadata='{"y":2}')).terms
    assert terms == RunTerms(arguments="[[],{}]", tags=("a", "b"), metadata='{"x":1,"y":2}')
    assert with_terms(Plan("p", ()), RunTerms(tags=("b",))).terms == RunTerms(tags=("b",))


def test_joining_with_nothing() -> None:
    assert joined_metadata(None, None) is None
    assert joined_metadata(None, '{"a":1}') == joined_metadata('{"a":1}', None) == '{"a":1}'
