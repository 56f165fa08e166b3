"""Tags, metadata and arguments as they are written: on tasks, steps, workflows, and at the start of a run."""

from __future__ import annotations

from typing import Any

import pytest

from segue import Segue, chain, group, task, workflow
from segue.attempt.outcomes import _expansion
from segue.authoring import to_plan
from segue.authoring.workflow import MAX_KEPT_BYTES
from segue.errors import ConfigError, DefinitionError
from segue.plan import codec
from segue.plan.graph import Plan, RunTerms


@task(metadata={"team": "data"})
def labelled(n: int) -> int:
    return n


@task
def plain(n: int) -> int:
    return n


@workflow(tags=["nightly", "eu"])
def tagged(n: int, also: Any = None) -> int:
    return plain(labelled.options(metadata={"customer": 42, "team": "ops"})(n))


def metadata_of(plan: Plan) -> dict[str, str | None]:
    return {node.name: node.metadata for node in plan.nodes}


def test_a_step_has_the_metadata_of_its_task_and_its_own() -> None:
    assert metadata_of(to_plan(tagged, 1)) == {"labelled": '{"team":"ops","customer":42}', "plain": None}
    assert metadata_of(to_plan(group(labelled.s(1), plain.s(2).options(metadata={"a": 1})))) == {
        "labelled": '{"team":"data"}',
        "plain": '{"a":1}',
    }
    assert metadata_of(to_plan(plain.options(metadata={}).s(1))) == {"plain": None}


def test_mapped_steps_have_it_too() -> None:
    plan = to_plan(labelled.map([1, 2]))
    assert [node.metadata for node in plan.nodes] == ['{"team":"data"}'] * 2
    later = to_plan(chain(plain.s(1), labelled.map()))
    assert '"metadata":"{\\"team\\":\\"data\\"}"' in later.nodes[1].args


def test_metadata_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(DefinitionError, match="plain: metadata="):
        plain.options(metadata=[1])  # type: ignore[typeddict-item]
    with pytest.raises(DefinitionError, match="not a list of texts"):

        @workflow(name="wrong", tags="nightly")  # type: ignore[typeddict-item]
        def wrong() -> None: ...


def test_a_run_keeps_the_arguments_it_was_called_with() -> None:
    assert to_plan(tagged, 1, also=[2]).terms == RunTerms('[[1],{"also":[2]}]', ("nightly", "eu"))
    assert to_plan(tagged.s(1)).terms == RunTerms("[[1],{}]", ("nightly", "eu"))
    assert to_plan(plain, 1).terms == RunTerms("[[1],{}]")
    assert to_plan(plain.s(n=1)).terms == RunTerms('[[],{"n":1}]')
    assert to_plan(chain(plain.s(1), plain.s())).terms is None


def test_arguments_that_are_not_json_or_too_large_are_not_kept() -> None:
    for also in (object(), "x" * MAX_KEPT_BYTES):
        assert to_plan(tagged, 1, also=also).terms == RunTerms(None, ("nightly", "eu"))


def test_arguments_are_kept_as_they_were_before_the_workflow_read_them() -> None:
    @workflow(name="greedy")
    def greedy(numbers: list[int]) -> int:
        return plain(numbers.pop())

    terms = to_plan(greedy, [1, 2]).terms
    assert terms is not None
    assert terms.arguments == "[[[1,2]],{}]"


def test_a_plan_survives_being_written_down() -> None:
    plan = to_plan(tagged, 1)
    assert codec.decode(codec.encode(plan)) == plan


def test_a_plan_that_a_task_returns_is_not_a_run() -> None:
    assert _expansion(tagged.s(1)).terms is None


def test_a_start_says_more(segue: Segue) -> None:
    run = segue.start(tagged, 1, tags=["backfill", "eu"], metadata={"customer": 42})
    info = run.info()
    assert (info.tags, info.metadata, info.arguments) == (("nightly", "eu", "backfill"), {"customer": 42}, [[1], {}])
    assert {step.name: step.metadata for step in run.steps()}["labelled"] == {"team": "ops", "customer": 42}
    many = segue.start_many(plain, [(1,), (2,)], tags=["many"])
    assert [found.id for found in segue.runs(tag="many")] == [run.id for run in many[::-1]]
    assert segue.select(metadata={"team": "ops"}).count() == 1
    assert segue.run(plain, 3, tags=["here"], metadata={"a": 1}) == 3
    assert segue.runs(tag="here")[0].metadata == {"a": 1}


def test_a_start_that_makes_no_sense_starts_nothing(segue: Segue) -> None:
    with pytest.raises(ConfigError, match="start: tags="):
        segue.start(plain, 1, tags="nightly")
    with pytest.raises(ConfigError, match="start: metadata="):
        segue.start(plain, 1, metadata=[1])  # type: ignore[arg-type]
    assert segue.runs() == []


def test_large_arguments_are_left_out_of_lists(segue: Segue) -> None:
    run = segue.start(tagged, 1, also="x" * 5000)
    assert run.info().arguments == [[1], {"also": "x" * 5000}]
    assert segue.runs()[0].arguments is None


def test_a_run_is_annotated_later(segue: Segue) -> None:
    run = segue.start(plain, 1)
    segue.annotate(run, tags=["looked-at"], metadata={"ticket": "OPS-17"})
    segue.annotate(run.id, step="plain", metadata={"who": "eva"})
    assert (run.info().tags, run.info().metadata) == (("looked-at",), {"ticket": "OPS-17"})
    assert run.steps()[0].metadata == {"who": "eva"}


def test_the_verbs_of_a_run(segue: Segue) -> None:
    run = segue.start(plain, 1)
    assert run.pause(reason="why", actor="eva") == "paused"
    assert "by eva (why)" in run.explain()[0].text
    assert run.resume() == "pending"
    assert run.cancel() == "cancelled"
    assert run.pause() == "cancelled"
