"""Messages and the steps that wait for them, in any order: who takes what is what a page of Python says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.engine.alarms import ring_alarms
from segue.engine.pausing import pause_run, resume_run
from segue.engine.sending import send_message
from segue.errors import RunStateError
from segue.model import WAIT_FOR
from segue.plan.graph import Plan
from tests.contract.stage import Stage, node, plan, succeeded

NAMES = ("x", "x", "x", "y")
EXAMPLES = 2 * settings.default.max_examples  # examples are small and quick


@dataclass(slots=True)
class Wait:
    """A step that waits, as the model knows it: `since` is when it began to, and `got` what it has."""

    name: str
    timeout: float | None
    default: Any
    has_default: bool
    is_root: bool
    since: float | None = None
    status: str = "blocked"
    got: Any = None


@dataclass(slots=True)
class Model:
    """The waits of one run, and the messages that nobody has taken."""

    waits: list[Wait]
    now: float = 0.0
    queued: list[tuple[str, Any]] = field(default_factory=list)
    keys: set[tuple[str, str]] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        return all(wait.status in ("succeeded", "failed") for wait in self.waits)

    def begin(self, wait: Wait) -> None:
        wait.since, wait.status = self.now, "ready"
        for message in self.queued:
            if message[0] == wait.name:
                self.queued.remove(message)
                wait.status, wait.got = "succeeded", message[1]
                return

    def send(self, name: str, value: Any, key: str | None) -> bool:
        """True when the run refuses it."""
        if key is not None and (name, key) in self.keys:
            return False
        if self.is_over:
            return True
        if key is not None:
            self.keys.add((name, key))
        waiting = [wait for wait in self.waits if wait.status == "ready" and wait.name == name]
        if not waiting:
            self.queued.append((name, value))
            return False
        taker = min(waiting, key=lambda wait: wait.since or 0.0)  # of those that began together the first
        taker.status, taker.got = "succeeded", value
        return False

    def ring(self) -> None:
        for wait in self.waits:
            if wait.status == "ready" and wait.timeout is not None and (wait.since or 0.0) + wait.timeout <= self.now:
                wait.status = "succeeded" if wait.has_default else "failed"
                wait.got = wait.default


waits = st.lists(
    st.builds(
        Wait, name=st.sampled_from(NAMES), timeout=st.sampled_from([None, None, 3.0, 7.0]),
        default=st.sampled_from([0, None]),
        has_default=st.booleans(), is_root=st.sampled_from([False, False, True]),
    ),
    min_size=2, max_size=5,
)  # fmt: skip
acts = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(NAMES), st.sampled_from([None, None, "k", "l"])),
        st.tuples(st.just("send"), st.sampled_from(NAMES), st.none()),
        st.tuples(st.just("begin"), st.integers(0, 4)),
        st.tuples(st.just("begin"), st.integers(0, 4)),
        st.tuples(st.just("pass"), st.sampled_from([0.0, 1.0, 3.0, 5.0]), st.booleans()),
        st.tuples(st.sampled_from(["pause", "resume"])),
    ),
    min_size=4,
    max_size=25,
)  # fmt: skip


def plan_of(waits: list[Wait]) -> Plan:
    """Each wait behind a step of its own, or at the root. Numbers: the steps before them, then the waits."""
    nodes = [node(f"before{number}") for number in range(len(waits))]
    for number, wait in enumerate(waits):
        named: dict[str, Any] = {} if wait.timeout is None else {"timeout": wait.timeout}
        named |= {"default": wait.default} if wait.has_default else {}
        args = msgspec.json.encode([[wait.name], named]).decode()
        parents = () if wait.is_root else (number,)
        nodes.append(node(f"wait{number}", *parents, task=WAIT_FOR, args=args, may_fail=True))
    return plan(*nodes)


@settings(max_examples=EXAMPLES)
@given(waits=waits, acts=acts)
def test_who_takes_what_is_as_the_model_says(stage: Stage, waits: list[Wait], acts: list[tuple[Any, ...]]) -> None:
    stage.empty()
    model = Model(waits)
    for wait in waits:
        if wait.is_root:
            model.begin(wait)
    run_id = stage.start(plan_of(waits))
    jobs = {job.step: job for job in stage.claim()}
    stage.turn(*[succeeded(jobs.pop(number)) for number, wait in enumerate(waits) if wait.is_root])
    check(stage, run_id, model)
    for count, (kind, *told) in enumerate(acts):
        match kind:
            case "send":
                name, key = told
                assert send(stage, run_id, name, count, key or f"made up {count}") == model.send(name, count, key)
            case "begin" if jobs:
                number = sorted(jobs)[told[0] % len(jobs)]
                model.begin(waits[number])
                stage.turn(succeeded(jobs.pop(number)))
            case "pass":
                model.now += told[0]
                stage.advance(told[0])
                if not told[1]:
                    continue  # nobody rings
                model.ring()
                while stage.engine.act(ring_alarms):
                    pass
            case "pause":
                stage.engine.act(pause_run, run_id)
            case "resume":
                stage.engine.act(resume_run, run_id)
        check(stage, run_id, model)
    assert stage.is_sound()


def send(stage: Stage, run_id: str, name: str, value: int, key: str) -> bool:
    """True when the run refuses it."""
    try:
        stage.engine.act(
            send_message, run_id, name=name, value=str(value), key=key
        )  # fmt: skip
    except RunStateError:
        return True
    return False


def check(stage: Stage, run_id: str, model: Model) -> None:
    first = len(model.waits)
    steps = stage.steps(run_id)[first:]
    with stage.engine.reading() as tx:
        rows = tx.all("load_results", run_id=run_id, steps=[step.step for step in steps])
    got = {number: msgspec.json.decode(result or "null") for number, _, result, _, _ in rows}
    found = [(step.status.value, got[step.step]) for step in steps]
    assert found == [(wait.status, wait.got if wait.status == "succeeded" else None) for wait in model.waits]
    assert stage.run(run_id).status.is_final == model.is_over
