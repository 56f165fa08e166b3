"""`segue errors` and the pages of `segue runs`, as they are typed."""

from __future__ import annotations

import pytest

from segue.cli.errors import spark
from segue.engine.views import select
from tests.unit.cli.conftest import Shell


def test_numbers_as_bars() -> None:
    assert spark([0, 1, 7, 14]) == " ▁▄█"
    assert spark([0, 0]) == "  "
    assert spark([]) == ""


def test_a_list_of_errors_that_is_empty_and_one_that_is_not_known(shell: Shell) -> None:
    assert shell("errors").stdout.startswith("Nothing failed since ")
    assert shell.json("errors")["groups"] == []
    assert "segue errors" in shell("errors", "f" * 16, exit_code=1).stderr


def test_a_search_that_stops_shows_how_to_go_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.client.pages.look_back", lambda *a, **k: select.look_back(*a, **k, most=2))
    ids = [shell.start("census", str(number)) for number in range(5)]
    words = ["runs", "--arg", "0=0"]
    seen = shell(*words).stdout
    assert "looked through 20,000 runs, back to " in seen
    assert f"--before {ids[3]} --arg 0=0" in seen
    assert f"--before {ids[1]}" in shell(*words, "--before", ids[3]).stdout
    assert shell.json(*words, "--before", ids[1])[0]["id"] == ids[0]
