"""Retry, fork, skip, mark and edit die, or lose their connection, at each of their points: nothing is ever half done.

Afterwards the verb is said again, as a person would. What is there then is what one saying makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from segue.client.step import retrying
from segue.engine import engine, ids
from segue.engine.engine import Engine
from segue.engine.reopening import alike
from segue.engine.reopening import manual as verbs
from segue.engine.reopening.edit import NewArguments, edit_step
from segue.engine.reopening.fork import fork_run
from segue.engine.reopening.retry import retry_from, retry_run
from segue.errors import StoreError
from tests.contract.by_hand import fails, unknown
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded
from tests.crash.faults import Died, FaultyStore, die, lose
from tests.crash.test_points import sampled

FEWEST_POINTS = 8
FORK = "019b76da-a800-7fff-8000-000000000000"

Verb = Callable[..., Any]
VERBS: dict[str, Verb] = {
    "retry": retry_run,
    "retry_from": partial(retry_from, step="first", act_id="019b76da-a800-7ffe-8000-000000000000"),
    "skip": partial(verbs.skip_step, step="bad"),
    "mark": partial(verbs.mark_step, step="grown", result="[1]"),
    "edit": partial(edit_step, step="bad", new=NewArguments(["1"]), parameters=unknown),
    "fork": partial(
        fork_run, new_id=FORK, step="grown", key="again", tags=["t"], new=NewArguments(["2"]), parameters=unknown
    ),
}  # fmt: skip


@pytest.fixture
def stage(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(ids, "os", SimpleNamespace(urandom=bytes))  # ids are the same each time
    monkeypatch.setattr(alike, "ALIKE", 1)  # what becomes of a step is written by the statement for very many
    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=lambda _: None))  # what was lost is said again at once
    stage = Stage(database_url)
    yield stage
    stage.close()


def failed_run(stage: Stage) -> str:
    """A run with everything that a reopening must see to; the same one each time."""
    stage.renew()
    run_id = stage.start(
        plan(
            node("first"), node("grown", 0, args="[[1],{}]"), node("after", 1), node("handler", 1, rule="any_failed"),
            node("always", 0, rule="all_done"), node("hook", hook="finally"), node("badly", hook="on_failure"),
        )
    )  # fmt: skip
    stage.turn(*[succeeded(job) for job in stage.claim()])
    grown, always = stage.claim_named("grown", "always")
    inner = plan(node("good"), node("bad"), node("below", 1), node("end", hook="finally"))
    stage.turn(expanded(grown, inner), succeeded(always))
    stage.work(fails("bad", "handler"))
    assert stage.run(run_id).status == "failed"
    return run_id


def say(by: Engine, verb: Verb, run_id: str) -> None:
    by.act(verb, run_id)


def everything(stage: Stage) -> list[Any]:
    """All rows that a verb may write, but for the ids of events."""
    tables = {
        "runs": "*", "steps": "*", "attempts": "*", "progress": "*", "labels": "*", "alarms": "*",
        "events": "kind, run_id, step, detail",
    }  # fmt: skip
    return [sorted(map(repr, stage.read(f"SELECT {columns} FROM segue_{table}"))) for table, columns in tables.items()]


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_breaks_at_every_point(stage: Stage, name: str) -> None:
    verb = VERBS[name]
    run_id = failed_run(stage)
    before = everything(stage)
    watched = FaultyStore(stage.store)
    say(Engine(watched), verb, run_id)
    once = everything(stage)
    assert stage.is_sound()
    assert once != before
    say(stage.engine, verb, run_id)
    assert everything(stage) == once, "said twice it is not what it is said once"
    assert len(watched.points) >= FEWEST_POINTS
    for strike in (lose, die):
        for number in sampled(watched.points, stride=13):
            run_id = failed_run(stage)
            assert everything(stage) == before
            faulty = FaultyStore(stage.store, strike, number)
            try:
                say(Engine(faulty), verb, run_id)
            except (Died, StoreError):
                assert everything(stage) in (before, once), f"{name} was half done at {faulty.points[-1]}"
                say(stage.engine, verb, run_id)
            assert faulty.has_struck
            assert everything(stage) == once, f"{name} came to something else after {faulty.points[-1]}"
    stage.work(fails("nothing"))
    assert stage.is_sound()


def test_a_late_word_of_before_comes_while_a_retry_is_unsure(stage: Stage) -> None:
    """The retry committed and nobody was told; its worker repeats what it had said, and the retry is said again."""
    stage.renew()
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [job] = stage.claim()
    stage.turn(failed(job, retryable=False))
    say(stage.engine, retry_run, run_id)
    assert stage.turn(failed(job, retryable=False)).refused == 1
    say(stage.engine, retry_run, run_id)
    assert stage.statuses(run_id) == {"a": "ready", "b": "blocked"}
    stage.work()
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()


def test_a_retry_whose_answer_was_lost_is_not_done_again_when_its_step_failed_again(stage: Stage) -> None:
    stage.renew()
    run_id = stage.start(plan(node("a", retries=0)))
    [job] = stage.claim()
    stage.turn(failed(job, retryable=False))
    verb = retrying()
    say(stage.engine, verb, run_id)
    [again] = stage.claim()
    stage.turn(failed(again, retryable=False))
    said_again = stage.engine.act(verb, run_id)
    assert said_again == ("failed", True)
    assert stage.statuses(run_id) == {"a": "failed"}
    say(stage.engine, retrying(), run_id)  # another one counts
    assert stage.statuses(run_id) == {"a": "ready"}
