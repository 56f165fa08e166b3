"""Texts and numbers on pages."""

from __future__ import annotations

import pytest

from segue.client.wording import HELD
from segue.model import Gate
from segue.web.rendering import environment, rate, without_controls


def test_texts_have_no_character_that_acts_unseen() -> None:
    assert without_controls("<p>\x1b[31mred\x1b[0m\x00 \x1b]x\x07</p>") == "<p>red␀ ␛]x␇</p>"
    assert without_controls("<b>invoice\u202efdp.exe</b>") == "<b>invoice[U+202E]fdp.exe</b>"
    assert without_controls("<b>a\n\tb é 😀</b>") == "<b>a\n\tb é 😀</b>"


def test_forms_send_back_what_was_there() -> None:
    page = '<input value="a\x1bb\u202ec"><textarea name="x">a\x1bb\u202ec &gt;</textarea><option>\u202e</option>'
    assert without_controls(page) == page
    assert without_controls(page + "<i>\x1b</i>") == page + "<i>␛</i>"


def test_rates_have_the_unit_in_which_they_are_not_tiny() -> None:
    found = [rate(each) for each in (0, 0.0001, 0.01, 0.1, 0.9, 1, 9.9, 1234.5)]
    assert found == ["0/s", "0.4/h", "36/h", "6.0/min", "54/min", "1.0/s", "9.9/s", "1,234/s"]


@pytest.mark.parametrize("gate", [*Gate, "of a newer version"])
def test_a_gate_is_said_in_words(gate: str) -> None:
    said = environment().from_string("{{ gate | held }}").render(gate=gate)
    assert said == HELD.get(gate, "held by of a newer version")
    assert set(HELD) == set(Gate)


@pytest.mark.parametrize(
    "given, shown", [("2026-11-20", "2026-11-20T00:00"), ("2026-11-20T03:15", "2026-11-20T03:15"), ("", ""), ("x", "x")]
)
def test_a_day_is_filled_into_a_field_for_a_minute(given: str, shown: str) -> None:
    assert environment().from_string("{{ text | as_minute }}").render(text=given) == shown
