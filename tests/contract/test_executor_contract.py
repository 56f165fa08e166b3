"""The contract of callback executors, on an executor without a broker: every event in every situation of a step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from segue.model import Gather, Hole, Ref
from segue.plan.graph import Node, Plan
from segue.testing import CASES, ContractBrokenError, Event, Message, ScriptedExecutor, Situation, check, check_storm
from segue.testing.executor_contract import COUNTS
from tests.contract.stage import Stage
from tests.thorough import IS_THOROUGH

SEEDS = range(400 if IS_THOROUGH else 12)


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


@pytest.mark.parametrize("is_fenced", [True, False], ids=["fenced", "unfenced"])
@pytest.mark.parametrize("situation", Situation)
def test_every_event_in_every_situation(stage: Stage, situation: Situation, is_fenced: bool) -> None:
    for case, event in CASES:
        if case is situation:
            check(stage, ScriptedExecutor(stage, is_fenced=is_fenced), situation, event)


@pytest.mark.parametrize("is_fenced", [True, False], ids=["fenced", "unfenced"])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_events_in_any_order_end_well(stage: Stage, seed: int, is_fenced: bool) -> None:
    check_storm(stage, ScriptedExecutor(stage, is_fenced=is_fenced), seed)


# The script ----------------------------------------------------------------------------------------------------------


def far_plan(far: ScriptedExecutor) -> Plan:
    def node(name: str, *parents: int, **fields: Any) -> Node:
        return Node(name, "scripted", queue=far.queue, executor=far.name, parents=parents, **fields)

    holes = (Hole((0, 0), Ref(0)), Hole((0, 1), Gather((Ref(1), Ref(2)))))
    return Plan(
        "flow", (node("a"), node("b", 0), node("c", 0), node("d", 0, 1, 2, args="[[null,null],{}]", holes=holes))
    )


def test_a_script_is_followed_message_by_message(stage: Stage) -> None:
    far = ScriptedExecutor(stage)
    run_id = stage.start(far_plan(far))
    script = {
        "a": [["begins", "begins elsewhere", "retries"], [], ["succeeds"]],
        "b": [["begins", "is lost"], ["is recalled"]],
        "c": [["succeeds", "begins"]],
    }
    messages = far.follow(script)
    assert [(message.name, message.attempt[2]) for message in messages] == [
        *[("a", number) for number in (1, 2, 3)], ("b", 1), ("c", 1), ("b", 2), ("b", 3), ("d", 1),
    ]  # fmt: skip
    assert stage.run(run_id).status == "succeeded"
    assert (stage.step(run_id, "a").failures, stage.step(run_id, "b").losses) == (1, 1)


def test_a_message_has_the_results_of_earlier_steps(stage: Stage) -> None:
    far = ScriptedExecutor(stage)
    stage.start(far_plan(far))
    [a] = far.take()
    assert far.play(a, "succeeds", result={"x": 1}) == [True]
    for message in far.take():
        far.play(message, "succeeds", result=message.name)
    [d] = far.take()
    assert d.arguments == '[[{"x":1},["b","c"]],{}]'


def test_a_message_that_comes_late_is_refused(stage: Stage) -> None:
    far = ScriptedExecutor(stage)
    run_id = stage.start(far_plan(far))
    [first] = far.take()
    [second] = far.repair()
    assert far.play(first, "begins", "succeeds") == [False, False]
    assert far.play(second, "begins", "succeeds") == [True, True]
    assert stage.step(run_id, "a").attempt == 2


def test_an_unknown_event_is_refused(stage: Stage) -> None:
    far = ScriptedExecutor(stage)
    stage.start(far_plan(far))
    [message] = far.take()
    with pytest.raises(ValueError, match="explodes"):
        far.play(message, "explodes")


# The contract notices executors that break it ------------------------------------------------------------------------


class OfTheLatestAttempt(ScriptedExecutor):
    """Reports whatever it hears of the attempt that it sent last."""

    def play(self, message: Message, *events: Event | str, result: Any = None) -> list[bool]:
        current = [found for found in self.messages if found.attempt[:2] == message.attempt[:2]][-1]
        return super().play(current, *events, result=result)


class Believing(ScriptedExecutor):
    """Takes each report for recorded."""

    def play(self, message: Message, *events: Event | str, result: Any = None) -> list[bool]:
        return [True for _ in super().play(message, *events, result=result)]


class Forgetful(ScriptedExecutor):
    """Never reports a success."""

    def play(self, message: Message, *events: Event | str, result: Any = None) -> list[bool]:
        said = [event for event in map(Event, events) if event is not Event.SUCCEEDS]
        return super().play(message, *said) + [True] * (len(events) - len(said))


class Trusting(ScriptedExecutor):
    """Lets a copy of a message begin in another process without asking."""

    def play(self, message: Message, *events: Event | str, result: Any = None) -> list[bool]:
        return [
            event is Event.BEGINS_ELSEWHERE or super(Trusting, self).play(message, event, result=result)[0]
            for event in map(Event, events)
        ]


@pytest.mark.parametrize("kind", [OfTheLatestAttempt, Believing, Forgetful, Trusting])
def test_the_contract_notices(stage: Stage, kind: type[ScriptedExecutor]) -> None:
    noticed, looked_at = [], (Situation.SENT, Situation.RUNNING, Situation.SENT_AGAIN)
    for situation, event in [(situation, event) for situation, event in CASES if situation in looked_at]:
        try:
            check(stage, kind(stage), situation, event)
        except (ContractBrokenError, IndexError):
            noticed.append((situation, event))
    assert noticed
    assert len(noticed) < len(looked_at) * len(Event)


def test_a_step_that_never_ends_is_noticed(stage: Stage) -> None:
    with pytest.raises(ContractBrokenError, match="the run has not ended"):
        check_storm(stage, Forgetful(stage), 1, events=0)


def test_each_expectation_is_needed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for event in COUNTS[Situation.SENT]:
        others = {other: becomes for other, becomes in COUNTS[Situation.SENT].items() if other != event}
        monkeypatch.setitem(COUNTS, Situation.SENT, others)
        with pytest.raises(ContractBrokenError, match=str(event)):
            check(stage, ScriptedExecutor(stage), Situation.SENT, event)
        monkeypatch.undo()
