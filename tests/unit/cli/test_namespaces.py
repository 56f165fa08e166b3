"""`--namespace` and SEGUE_NAMESPACE: a command sees one application's part of the database, or all with '*'."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.conftest import APP, Shell

COUNT = f"{APP}.count"


@pytest.fixture(autouse=True)
def no_namespace_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option becomes a variable of the process, for tasks that make a `Segue()` of their own."""
    monkeypatch.setenv("SEGUE_NAMESPACE", "")


@pytest.fixture
def shop_and_bank(shell: Shell) -> Shell:
    """Two applications in one database, each with a run and a limit."""
    for name in ("shop", "bank"):
        shell("start", COUNT, f'"{name}"', "--key", "same", "--namespace", name)
        shell("limits", "set", "mail", "--concurrency", "2", "--namespace", name)
    return shell


def test_a_command_sees_its_own_namespace(shop_and_bank: Shell) -> None:
    [run] = shop_and_bank.json("runs", "--namespace", "shop")
    assert run["workflow"] == COUNT
    assert "namespace" not in run
    [limit] = shop_and_bank.json("limits", "list", "--namespace", "shop")["limits"]
    assert limit["name"] == "mail"
    assert shop_and_bank.json("runs", SEGUE_NAMESPACE="") == []


def test_the_variable_says_the_same_as_the_option_and_the_option_wins(shop_and_bank: Shell) -> None:
    [run] = shop_and_bank.json("runs", SEGUE_NAMESPACE="bank")
    [other] = shop_and_bank.json("runs", "--namespace", "shop", SEGUE_NAMESPACE="bank")
    assert run["id"] != other["id"]


def test_a_star_shows_all_with_their_namespaces_and_starts_nothing(shop_and_bank: Shell) -> None:
    runs = shop_and_bank.json("runs", "--namespace", "*")
    assert sorted(run["namespace"] for run in runs) == ["bank", "shop"]
    lines = shop_and_bank("runs", "--namespace", "*").stdout.splitlines()
    assert lines[0].split()[-1] == "namespace"
    refused = shop_and_bank("start", COUNT, '"x"', "--namespace", "*", exit_code=2)
    assert "name one of them" in " ".join(refused.output.split())


def test_a_run_of_another_namespace_is_not_found_and_not_paused(shop_and_bank: Shell) -> None:
    [run] = shop_and_bank.json("runs", "--namespace", "shop")
    for words in (("show",), ("explain",), ("pause",), ("cancel",)):
        said = shop_and_bank(*words, run["id"], "--namespace", "bank", exit_code=None)
        assert said.exit_code != 0
        assert run["id"][:8] in said.output
    assert shop_and_bank.json("show", run["id"], "--namespace", "shop")["run"]["status"] == "pending"
    assert shop_and_bank.json("show", run["id"], "--namespace", "*")["run"]["id"] == run["id"]


def test_a_hint_carries_the_namespace(shop_and_bank: Shell) -> None:
    [run] = shop_and_bank.json("runs", "--namespace", "shop")
    shop_and_bank("pause", run["id"], "--namespace", "shop")
    said = " ".join(shop_and_bank("explain", run["id"], "--namespace", "shop").output.split())
    assert f"segue --namespace shop resume {run['id'][-8:]}" in said


@pytest.mark.parametrize("name", ["with space", "a/b", "x" * 41, "ä"])
def test_a_name_that_is_none_is_refused_with_the_rule(shell: Shell, name: str) -> None:
    said = " ".join(shell("runs", "--namespace", name, exit_code=2).output.split())
    assert "is not a namespace" in said
    assert "letters, digits" in said


def test_keys_are_apart(shell: Shell) -> None:
    first = json.loads(shell("start", COUNT, '"a"', "--key", "k", "--namespace", "shop", "--json").stdout)
    second = json.loads(shell("start", COUNT, '"a"', "--key", "k", "--namespace", "bank", "--json").stdout)
    again = json.loads(shell("start", COUNT, '"a"', "--key", "k", "--namespace", "shop", "--json").stdout)
    assert first["id"] == again["id"] != second["id"]
