"""Figures, their spread and their goals."""

from __future__ import annotations

import pytest

from segue.bench.goals import goal_of
from segue.bench.readings import Goal, Reading, number, rows_of


@pytest.mark.parametrize(
    "value, text",
    [
        (0, "0"),
        (0.0123, "0.0123"),
        (0.4567, "0.457"),
        (1.234, "1.23"),
        (45.67, "45.7"),
        (456.7, "457"),
        (15678.9, "15,679"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_the_spread_is_median_and_extremes() -> None:
    reading = Reading("chain", "chain of 40, per step", "ms", "SQLite", [3.0, 1.0, 2.0, 9.0, 2.5])
    assert reading.spread() == "2.50 (1..9)"
    assert (reading.as_json()["median"], reading.as_json()["max"]) == (2.5, 9.0)


@pytest.mark.parametrize(
    "goal, value, verdict",
    [
        (Goal(0.45), 0.45, "pass"),
        (Goal(0.45), 0.46, "miss"),
        (Goal(1500, at_least=True), 1500, "pass"),
        (Goal(1500, at_least=True), 1499, "miss"),
        (None, 1, ""),
    ],
)
def test_the_median_is_held_against_the_goal(goal: Goal | None, value: float, verdict: str) -> None:
    assert Reading("w", "what", "s", "", [value, value, value * 100], goal).verdict == verdict


def test_each_database_has_its_own_goal_for_a_chain() -> None:
    assert goal_of("chain of 40, per step", "ms", "SQLite") == Goal(0.45)
    assert goal_of("chain of 40, per step", "ms", "PostgreSQL") == Goal(0.65)
    assert goal_of("chain of 39, per step", "ms", "PostgreSQL") is None


def test_rows_hold_the_same_figure_of_every_database() -> None:
    one, other = Reading("a", "x", "s", "SQLite"), Reading("a", "y", "s", "SQLite")
    twin = Reading("a", "x", "s", "PostgreSQL")
    assert rows_of([one, other, twin]) == [[one, twin], [other]]
