"""`segue definitions`, and the version of the code in `segue workers`."""

from __future__ import annotations

from segue import Segue
from segue.cli.definitions import signature_text
from segue.worker import launch
from segue.worker.worker import WorkerOptions
from tests.unit.cli.conftest import APP, Shell


def test_nothing_is_known_before_a_process_with_code_was_there(shell: Shell) -> None:
    assert shell.json("definitions") == []
    assert "No process with tasks has used this database. Start one: segue worker -A" in shell("definitions").stdout


def test_what_was_published_is_listed_with_its_parameters(shell: Shell) -> None:
    found = {each["name"]: each for each in shell.json("definitions", "--publish", "-A", APP)}
    census = found[f"{APP}.census"]
    assert (census["kind"], census["module"], census["qualname"], census["title"]) == (
        "workflow",
        APP,
        "census",
        "Census",
    )
    assert census["parameters"]["type"] == "object"
    assert census["is_live"] is True
    assert not [name for name in found if name.startswith("segue.")]
    text = shell("definitions").stdout
    assert f"{APP}.census" in text
    assert shell.json("definitions") == list(found.values())


def test_one_is_named_in_full_or_by_its_last_part(shell: Shell) -> None:
    shell("definitions", "--publish")
    [one] = shell.json("definitions", "census")
    assert shell.json("definitions", one["name"]) == [one]
    assert shell.json("definitions", "census", "--version", one["version"][:6]) == [one]
    assert "No known code defines 'sensus'" in shell("definitions", "sensus", exit_code=2).stderr
    assert "No version 0000 of the code is known" in shell("definitions", "--version", "0000").stdout


def test_publishing_needs_to_know_what(shell: Shell) -> None:
    assert "No module was named" in shell("definitions", "--publish", exit_code=2, SEGUE_APP="").stderr


def test_workers_say_which_code_they_have(shell: Shell) -> None:
    with Segue(shell.url) as segue:
        worker = launch.make_worker(segue.engine, WorkerOptions(pool="thread", concurrency=1))
        worker._registration.begin()
        try:
            [listed] = shell.json("workers")
            [version] = {each.version for each in segue.definitions()}
            assert listed["code_version"] == version
            assert version[:8] in shell("workers").stdout
            assert {each.name for each in segue.definitions() if each.kind == "task"} <= set(listed["tasks"])
            assert segue.publish_definitions() == version
        finally:
            segue.engine.unregister(worker._registration.identity)


def test_parameters_are_told_in_one_line() -> None:
    properties = {
        "a": {"type": "integer"}, "b": {"type": "string", "default": "é"}, "c": {}, "d": {"$ref": "#/$defs/Order"},
        "e": {"enum": ["x", 1]}, "f": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "g": {"type": "array", "items": {"type": "string", "x-segue-type": "path"}}, "h": {"type": ["null", "integer"]},
        "i": {"type": "array", "items": {"type": "number"}, "x-segue-kind": "var_positional"}, "j": {"type": "array"},
    }  # fmt: skip
    schema = {"properties": properties, "required": ["a", "c", "d", "e", "f", "g", "h"], "additionalProperties": True}
    assert signature_text(schema) == (
        'a: integer, b: string = "é", c, d: Order, e: "x" | 1, f: date | null, g: array of path, h: null | integer, '
        "*i: number, j: array = ..., **"
    )
    assert signature_text({}) == ""
