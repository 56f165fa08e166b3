"""The contract of callback executors: every event, in every situation of a step, and what must come of it.

Each executor brings a `CallbackDriver`, which lets events happen to its messages: real ones, at a real broker, or
scripted ones. With pytest::

    @pytest.mark.parametrize(("situation", "event"), CASES)
    def test_events(segue, driver, situation, event):
        check(segue, driver, situation, event)

The contract in one sentence: an attempt has one end, only the current attempt of a step has any, and whatever does not
count changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from segue.engine.control import cancel_run
from segue.engine.engine import Engine
from segue.engine.pausing import pause_run
from segue.engine.views.look import StepInfo, list_steps, run_info
from segue.errors import SegueError
from segue.model import StepStatus
from segue.plan.graph import Node, Plan
from segue.testing.scripted import Event, HasEngine, Message

MOST_ROUNDS = 100
CHANCE_OF_A_COPY = 0.3  # that the storm plays an event of an older message


class ContractBrokenError(SegueError, AssertionError):
    """An executor, or the engine, did not do what the contract says."""


class CallbackDriver(Protocol):
    """What the contract needs of an executor. `ScriptedExecutor` is one."""

    name: str
    is_fenced: bool

    @property
    def queue(self) -> str:
        """The queue of its steps, such as "@celery:default"."""

    @property
    def task(self) -> str:
        """The task of the steps of the contract, which does what `play` says, such as "celery:scripted"."""

    @property
    def cannot(self) -> frozenset[Event]:
        """Events that it never reports; their cases are passed over."""

    def take(self) -> list[Message]:
        """Send what may be sent; returns the new messages."""

    def play(self, message: Message, *events: Event | str) -> list[bool]:
        """Let these happen to a message, and return when they are recorded; of each, whether it counted."""

    def repair(self) -> list[Message]:
        """Send every message again that has not begun, as if its time was over; returns the new ones."""


class Situation(StrEnum):
    """Where a step is when something happens to one of its messages."""

    BLOCKED = "blocked"  # its task returned a plan
    READY = "ready"  # the message was recalled, and the run is paused
    SENT = "sent"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    SENT_AGAIN = "sent again"  # the event happens to the message before
    RUNNING_AGAIN = "running again"  # the same
    SENT_AND_PAUSED = "sent, in a paused run"
    RUNNING_AND_PAUSED = "running, in a paused run"
    SENT_AND_ENDING = "sent, in a run that is being cancelled"
    RUNNING_AND_ENDING = "running, in a run that is being cancelled"


AGAIN = "again"  # the step is ready, or sent already as its next attempt

_ENDS = {
    Event.SUCCEEDS: "succeeded", Event.FAILS: "failed", Event.IS_REVOKED: "failed", Event.SKIPS: "skipped",
    Event.RETURNS_A_PLAN: "blocked", Event.RETRIES: AGAIN, Event.IS_LOST: AGAIN,
}  # fmt: skip
_BEGINS = {Event.BEGINS: "running", Event.BEGINS_ELSEWHERE: "running"}
_PAUSED_ENDS = _ENDS | {Event.RETRIES: "ready", Event.IS_LOST: "ready"}
_LAST_ENDS = dict.fromkeys(_ENDS, "cancelled") | {Event.SUCCEEDS: "succeeded", Event.SKIPS: "skipped"}

COUNTS: dict[Situation, dict[Event, str]] = {
    Situation.SENT: _BEGINS | _ENDS | {Event.IS_RECALLED: AGAIN, Event.IS_OVERDUE: AGAIN},
    Situation.RUNNING: _ENDS | {Event.BEGINS: "running"},
    Situation.SENT_AND_PAUSED: _PAUSED_ENDS | {Event.IS_RECALLED: "ready"},
    Situation.RUNNING_AND_PAUSED: _PAUSED_ENDS | {Event.BEGINS: "running"},
    Situation.SENT_AND_ENDING: {},
    Situation.RUNNING_AND_ENDING: _LAST_ENDS | {Event.BEGINS: "running"},
}
"""The events that count, and the status that follows. All others are refused, and change nothing."""

COUNTS_UNFENCED: dict[Situation, dict[Event, str]] = {
    Situation.SENT_AND_PAUSED: COUNTS[Situation.SENT_AND_PAUSED] | _BEGINS,
    Situation.SENT_AND_ENDING: _LAST_ENDS | _BEGINS | {Event.IS_RECALLED: "cancelled"},
}
"""Where it differs for an executor that does not ask before it begins: what was sent may be running already."""

CASES: tuple[tuple[Situation, Event], ...] = tuple((situation, event) for situation in Situation for event in Event)
"""All that `check` can check."""

_PLAYED_BEFORE: dict[Situation, tuple[Event, ...]] = {
    Situation.BLOCKED: (Event.BEGINS, Event.RETURNS_A_PLAN),
    Situation.RUNNING: (Event.BEGINS,),
    Situation.SUCCEEDED: (Event.BEGINS, Event.SUCCEEDS),
    Situation.FAILED: (Event.BEGINS, Event.FAILS),
    Situation.SKIPPED: (Event.BEGINS, Event.SKIPS),
    Situation.RUNNING_AND_PAUSED: (Event.BEGINS,),
    Situation.RUNNING_AND_ENDING: (Event.BEGINS,),
    Situation.SENT_AGAIN: (Event.IS_OVERDUE,),
    Situation.RUNNING_AGAIN: (Event.IS_OVERDUE,),
}


def check(owner: HasEngine, driver: CallbackDriver, situation: Situation, event: Event) -> None:
    """Bring a step into a situation, let an event happen to its message, twice, and compare with the contract.

    It starts one run, and leaves it behind. Raises ContractBrokenError.
    """
    needed = {event, *_PLAYED_BEFORE.get(situation, ())} | ({Event.IS_RECALLED} & _needs_recall(situation))
    if needed & driver.cannot:
        return
    stand = _Stand(owner.engine, driver)
    message = stand.bring(situation)
    before = stand.step()
    becomes = _expected(driver, situation).get(event)
    [counted] = driver.play(message, event)
    what = f"{situation}: {event}"
    stand.must(counted == (becomes is not None), f"{what} {'counted' if counted else 'was refused'}")
    after = stand.step()
    if becomes is None:
        becomes = _refused(driver, situation, event, before)
    if becomes == AGAIN:
        is_again = after.status == "ready" or (after.status == "sent" and after.attempt > message.attempt[2])
        stand.must(is_again, f"{what} left the step {after.status}, attempt {after.attempt}")
    else:
        stand.must(after.status == becomes, f"{what} made the step {after.status}, not {becomes}")
    if event not in (Event.BEGINS, Event.BEGINS_ELSEWHERE):
        [twice] = driver.play(message, event)
        stand.must(not twice, f"{what} counted a second time")
        stand.must(stand.step().status in (after.status, "sent"), f"{what}, a second time, changed the step")


def check_storm(owner: HasEngine, driver: CallbackDriver, seed: int, *, events: int = 60) -> None:
    """Let random events happen to random messages of a diamond, old ones too; then let all the rest go well.

    The run must end, nothing may contradict the invariants, and no step may have two ends. Raises ContractBrokenError.
    """
    chance = random.Random(seed)
    stand = _Stand(owner.engine, driver)
    run_id = stand.start(_diamond(driver))
    possible = [event for event in Event if event not in driver.cannot]
    messages: list[Message] = []
    ends: dict[tuple[str, int], int] = {}
    for _ in range(events):
        messages += driver.take() if chance.random() < 0.7 else driver.repair()
        if not messages:
            break
        message = chance.choice(messages) if chance.random() < CHANCE_OF_A_COPY else messages[-1]
        event = chance.choice(possible)
        [counted] = driver.play(message, event)
        if counted and event in (Event.SUCCEEDS, Event.FAILS, Event.IS_REVOKED, Event.SKIPS):
            step = message.attempt[:2]
            ends[step] = ends.get(step, 0) + 1
            stand.must(ends[step] == 1, f"step {step} ended {ends[step]} times, at last since its message {event}")
    for _ in range(MOST_ROUNDS):
        messages = [*driver.take(), *driver.repair()] or stand.live(messages)
        for message in messages:
            driver.play(message, Event.BEGINS, Event.SUCCEEDS)
        if stand.is_over(run_id):
            break
    stand.must(stand.is_over(run_id), f"the run has not ended; the storm's seed was {seed}")


def _needs_recall(situation: Situation) -> set[Event]:
    return {Event.IS_RECALLED} if situation is Situation.READY else set()


def _expected(driver: CallbackDriver, situation: Situation) -> dict[Event, str]:
    plain = COUNTS.get(situation, {})
    return plain if driver.is_fenced else COUNTS_UNFENCED.get(situation, plain)


def _refused(driver: CallbackDriver, situation: Situation, event: Event, before: StepInfo) -> str:
    """The status after an event that did not count: the one before, unless a pause or cancel turns the message away."""
    asks = event in (Event.BEGINS, Event.BEGINS_ELSEWHERE) and driver.is_fenced
    if situation is Situation.SENT_AND_PAUSED and (asks or event is Event.IS_OVERDUE):
        return "ready"  # it is sent after the pause
    if situation is Situation.SENT_AND_ENDING and event is Event.IS_OVERDUE:
        return "cancelled"
    return before.status.value


def _diamond(driver: CallbackDriver) -> Plan:
    def node(name: str, *parents: int) -> Node:
        return Node(name, driver.task, queue=driver.queue, executor=driver.name, parents=parents)

    return Plan("storm", (node("first"), node("left", 0), node("right", 0), node("last", 1, 2)))


class _Stand:
    """One run for one check."""

    def __init__(self, engine: Engine, driver: CallbackDriver) -> None:
        self._engine = engine
        self._driver = driver
        self._run_id = ""

    def start(self, plan: Plan) -> str:
        [self._run_id] = self._engine.start([(plan, None)])
        return self._run_id

    def bring(self, situation: Situation) -> Message:
        """A message of a step that is in this situation."""
        driver = self._driver
        self.start(Plan("contract", (Node("step", driver.task, queue=driver.queue, executor=driver.name),)))
        message = next(found for found in driver.take() if found.attempt[0] == self._run_id)
        driver.play(message, *_PLAYED_BEFORE.get(situation, ()))
        if situation in (Situation.READY, Situation.SENT_AND_PAUSED, Situation.RUNNING_AND_PAUSED):
            self._engine.act(pause_run, self._run_id)
        if situation in (Situation.CANCELLED, Situation.SENT_AND_ENDING, Situation.RUNNING_AND_ENDING):
            self._engine.act(cancel_run, self._run_id)
        if situation is Situation.READY:
            driver.play(message, Event.IS_RECALLED)
        if situation is Situation.CANCELLED:
            driver.play(message, Event.FAILS)  # an executor that does not ask says when it has ended
        if situation is Situation.RUNNING_AGAIN:
            run_id, step, attempt = message.attempt
            driver.play(message._replace(attempt=(run_id, step, attempt + 1)), Event.BEGINS)
        return message

    def step(self) -> StepInfo:
        with self._engine.reading() as tx:
            return list_steps(tx, self._run_id)[0]

    def live(self, messages: Sequence[Message]) -> list[Message]:
        """A message for each step that is running: its current attempt."""
        with self._engine.reading() as tx:
            steps = [step for step in list_steps(tx, self._run_id) if step.status is StepStatus.RUNNING]
        return [Message((self._run_id, step.step, step.attempt), step.name, "", step.queue, "") for step in steps]

    def is_over(self, run_id: str) -> bool:
        with self._engine.reading() as tx:
            return run_info(tx, run_id).status.is_final

    def must(self, is_so: bool, otherwise: str) -> None:
        broken = self._engine.broken_invariants()
        if not is_so or broken:
            raise ContractBrokenError(f"{self._driver.name}: {otherwise}. {broken or ''}".strip())
