"""What hooks and observers are told of their run: its arguments, key, tags and metadata."""

from __future__ import annotations

from typing import Any

import pytest

from segue import Event, Run, RunOutcome, Segue, chain, on, task, workflow
from segue.authoring.run_outcome import without_arguments
from segue.errors import ConfigError
from segue.observing.observers import observers
from segue.worker.inline import work_run

told: list[Any] = []


@task
def tidy(how: RunOutcome) -> None:
    told.append(how)


@task
def tidy_plainly(how: dict[str, Any]) -> None:
    told.append(how)


@task
def fail(day: str) -> None:
    raise ValueError(f"no data for {day}")


@workflow(on_failure=tidy.s(), finally_=tidy_plainly.s(), tags=["nightly"])
def night(day: str, *, size: int = 3, text: str = "") -> None:
    fail(day)


@task
def start_night(day: str) -> Any:
    return night.s(day)


def work(segue: Segue, *args: Any, **kwargs: Any) -> Run[Any]:
    told.clear()
    run = segue.start(*args, **kwargs)
    work_run(segue.engine, run.id)
    return run


def test_hooks_are_told_of_the_run(segue: Segue) -> None:
    run = work(segue, night, "2026-11-20", key="k", tags=["a"], metadata={"customer": 7})
    how, plain = sorted(told, key=lambda each: isinstance(each, dict))
    assert (how.run_id, how.key, how.status, how.error.step) == (run.id, "k", "failed", "fail")
    assert how.error.message == "no data for 2026-11-20"
    assert (sorted(how.tags), how.metadata, how.arguments) == (["a", "nightly"], {"customer": 7}, [["2026-11-20"], {}])
    assert (how.argument("day"), how.argument("size")) == ("2026-11-20", 3)
    with pytest.raises(ConfigError, match=r"'colour' .*is not known here"):
        how.argument("colour")
    assert plain["arguments"] == [["2026-11-20"], {}]
    assert plain["workflow"] == night.name
    assert without_arguments(plain) == {key: plain[key] for key in plain if key != "arguments"}
    assert without_arguments({"arguments": 1}) == {"arguments": 1}


def test_arguments_by_name_and_long_ones(segue: Segue) -> None:
    work(segue, night, day="2026-11-21", size=4)
    assert [told[0].argument("day"), told[0].argument("size")] == ["2026-11-21", 4]
    run = work(segue, night, "d", text="x" * 70_000)
    assert told[0].arguments is None
    assert run.info().arguments is None or run.info().arguments[1]["text"]
    with pytest.raises(ConfigError, match="too long"):
        told[0].argument("day")


def test_hooks_of_a_returned_workflow_are_told_of_the_run_around_it(segue: Segue) -> None:
    work(segue, chain(start_night.s("2026-11-22")), key="outer", metadata={"customer": 8})
    assert [(how.workflow, how.key, how.metadata, how.arguments) for how in told if isinstance(how, RunOutcome)] == [
        ("start_night", "outer", {"customer": 8}, None)
    ]


def test_a_namespace_is_not_part_of_the_name(database_url: str) -> None:
    work(Segue(database_url, namespace="shop"), night, "2026-11-20")
    assert told[0].workflow == night.name
    assert told[0].argument("day") == "2026-11-20"


def test_observers_are_told_too(segue: Segue) -> None:
    seen: list[Event] = []
    on("run.failed")(seen.append)
    work(segue, night, "2026-11-20", key="k", metadata={"customer": 7})
    assert observers.flush()
    assert [(each.key, each.metadata, each.arguments) for each in seen] == [
        ("k", {"customer": 7}, [["2026-11-20"], {}])
    ]
