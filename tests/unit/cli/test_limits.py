"""`segue limits`: list, set, remove, weight."""

from __future__ import annotations

from tests.unit.cli.conftest import Shell


def test_limits_are_set_listed_and_removed(shell: Shell) -> None:
    assert "No limits." in shell("limits", "list").stdout
    assert shell("limits", "set", "queue:net", "--concurrency", "10").stdout == "queue:net: 10 at once\n"
    said = shell.json("limits", "set", "mail", "--rate", "100/min", "--burst", "20")
    assert (said["rate"], said["period"], said["burst"], said["source"]) == (100.0, 60.0, 20.0, "api")
    lines = shell("limits", "list").stdout.splitlines()
    assert lines[0].split() == ["limit", "size", "taken", "keys", "waiting", "set", "by"]
    assert lines[1].split() == ["mail", "100", "in", "60", "s", "(burst", "20)", "0", "0", "0", "api"]
    assert [limit["name"] for limit in shell.json("limits", "list")["limits"]] == ["mail", "queue:net"]
    assert shell("limits", "remove", "mail").stdout == "mail is removed\n"
    assert "There is no limit 'mail'" in shell("limits", "remove", "mail", exit_code=1).stderr


def test_what_makes_no_sense_is_refused(shell: Shell) -> None:
    for words, message in (
        (("api",), "limits nothing"),
        (("api", "--rate", "fast"), "is not a rate; write '10/s'"),
        (("api", "--concurrency", "-1"), "give 0 or more places"),
        (("team:api", "--concurrency", "1"), "Your own limits have none"),
        (("workflow:w", "--rate", "1/s"), "Give the rate to its first task"),
    ):
        assert message in " ".join(shell("limits", "set", *words, exit_code=2).output.split())


def test_weights_are_set_and_listed(shell: Shell) -> None:
    assert shell("limits", "weight", "gold", "3", "--queue", "net").stdout == "gold has the weight 3 on queue net\n"
    assert shell.json("limits", "list", "--shares")["shares"] == [
        {"queue": "net", "key": "gold", "weight": 3.0, "served": 0.0}
    ]
    assert "gold" in shell("limits", "list", "--shares").stdout
    assert "the weight from the code" in shell("limits", "weight", "gold", "--queue", "net").stdout
    assert "is not possible" in shell("limits", "weight", "gold", "0", exit_code=2).output
