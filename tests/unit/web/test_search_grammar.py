"""Searches for runs: what people type, and the query of the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.web.search_grammar import NAMES, SearchError, filters_of, parsed, written

NOW = datetime(2026, 11, 29, 14, 0, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")

NAMED = st.sampled_from([*sorted(set(NAMES.values())), "meta.customer", "arg.order.id", "meta.a"])
VALUES = st.text(min_size=1, max_size=20)


@given(st.lists(st.tuples(NAMED, VALUES), max_size=6))
def test_a_search_that_is_written_means_the_same_when_it_is_read(pairs: list[tuple[str, str]]) -> None:
    assert parsed(written(pairs)) == pairs


def test_words_are_qualified_or_tags() -> None:
    text = 'eu "two words" workflow:shop.nightly error:ValueError meta.customer:42 newer:2d'
    assert parsed(text) == [
        ("tag", "eu"), ("tag", "two words"), ("workflow", "shop.nightly"), ("error_type", "ValueError"),
        ("meta.customer", "42"), ("newer_than", "2d"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text, says",
    [
        ("worfklow:x", "Did you mean workflow:"), ("zzz:1", "is no qualifier"), ('"open', "close it"),
        ("status:broken", "not a status"), ("newer:soon", "not a duration"), ("since:yesterday", "not a time"),
        ("newer:1h newer:2h", "twice"), ("key:", "has no value"), ("newer:999999999w", "too long"),
        ("since:999999w", "too long ago"),
    ],
)  # fmt: skip
def test_a_search_that_is_not_understood_is_refused_and_never_ignored(text: str, says: str) -> None:
    with pytest.raises(SearchError, match=says):
        filters_of(parsed(text), now=NOW, zone=PARIS)


def test_filters_are_those_of_python() -> None:
    text = (
        "status:failed status:cancelled meta.customer:42 meta.name:ada arg.day:2026-11-20 newer:90min since:2026-11-29"
    )
    assert filters_of(parsed(text), now=NOW, zone=PARIS) == {
        "status": ["failed", "cancelled"], "metadata": {"customer": 42, "name": "ada"},
        "arguments": {"day": "2026-11-20"}, "newer_than": timedelta(minutes=90),
        "since": datetime(2026, 11, 28, 23, 0, tzinfo=UTC),  # midnight where the person is
    }  # fmt: skip


def test_a_time_may_be_an_age() -> None:
    assert filters_of([("failed_since", "24h")], now=NOW, zone=PARIS) == {"failed_since": NOW - timedelta(days=1)}
