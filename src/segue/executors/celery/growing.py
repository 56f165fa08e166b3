"""Chords and groups whose members come from a generator: their run starts with the first member, and grows.

The generator itself is the first step of the run, and the process that consumes it has that step's attempt. It adds the
members (engine/extend.py), and ends the step when the generator does. If the process dies, the attempt is not renewed;
a node then lets the step fail, so the body is not called with half of its members.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature, group, maybe_signature
from celery.utils.functional import _regen
from kombu.utils.uuid import uuid
from msgspec import structs

from segue.attempt.outcomes import describe
from segue.engine.act import Act
from segue.engine.executing import Executor, renew_sent, send_steps
from segue.engine.extend import extend
from segue.engine.start import NewRun, start_runs
from segue.errors import PASSING_ERRORS, RunStateError
from segue.executors.celery.calls import OPEN, Call, Pending, is_open
from segue.executors.celery.capture import Capture, captured, capturing
from segue.executors.celery.plans import Names, plan_of_capture
from segue.executors.celery.spec import GENERATED
from segue.executors.celery.standins import patiently
from segue.model import Attempt, Concat, Gather, Hole, Outcome, Ref, Verdict
from segue.plan.graph import Node, Plan
from segue.plan.namespaces import plan_in

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

GENERATOR = "segue.header"
"""The task of the step that stands for a generator. No message is sent for it."""

_LISTED = Gather((Ref(0),))
_GROWING = Concat((Ref(0),))
_AT_ONCE = 500
_SHARE = 4  # an addition comes after that many times as long as the one before it took


def apply_growing(door: Door, work: Signature, apply: Callable[..., Any]) -> tuple[Capture, Any]:
    """Apply a canvas by `apply`. If it begins with members that are generated, they run when this returns.

    Otherwise nothing has been started yet: the capture has the calls.
    """
    growing = Growing(door, str(work.task))
    if isinstance(work, group) and isinstance(work.tasks, _regen):
        apply = functools.partial(apply, chord=growing.joined())
    try:
        capture, result = captured(door.app, apply, growing, is_awaited=True)
        growing.finish()
    except BaseException as error:
        growing.fail(error)
        raise
    return capture, result


class Growing:
    """A run that may grow while its canvas is applied. It is open from the moment when the header begins."""

    def __init__(self, door: Door, name: str) -> None:
        self._door = door
        self._name = name
        self._names = Names()
        self._attempt: Attempt | None = None
        self._group_id: str | None = None
        self._part: Capture | None = None
        self._additions = 0
        self._last = 0.0
        self._took = 0.0
        self._over = threading.Event()

    @property
    def is_open(self) -> bool:
        """Whether calls are members of its header."""
        return self._attempt is not None

    def joined(self) -> Any:
        """What a group has for the body of a chord, so that its members are known as such; opens the run."""
        self._open(None)
        return Signature("celery.accumulate", app=self._door.app, options={OPEN: True})

    def open(self, header: tuple[str, Any], body: Any) -> bool:
        """Start the run of a chord whose header is generated. False if the header is a list already."""
        group_id, results = header
        if self.is_open or not isinstance(results, _regen):
            return False
        self._group_id = group_id
        self._open(body)
        return True

    def add(self, capture: Capture, *call: Any) -> Any:
        """A call of the header. It is added to the run at once, or with those that follow soon."""
        if self._part is None:
            self._part = Capture(capture.app)
        result = self._part.add(*call)
        now = time.monotonic()
        if now - self._last >= _SHARE * self._took or len(self._part.calls) >= _AT_ONCE:
            self._flush()
            self._last = time.monotonic()
            self._took = self._last - now
        return result

    def finish(self) -> None:
        """The generator has ended."""
        if self.is_open:
            self._flush()
            self._end(Verdict.SUCCEEDED, result="[]")

    def fail(self, error: BaseException) -> None:
        """The generator raised: the body is not called."""
        if self.is_open and not self._over.is_set():
            self._end(Verdict.FAILED, error=describe(error), retryable=False)

    def _open(self, body: Any) -> None:
        plan = self._first_plan(body)
        engine, executor = self._door.engine, Executor(self._door.name, is_fenced=True)
        run = NewRun(engine.new_id(), plan_in(plan, engine.namespace), None)
        until = engine.store.now() + timedelta(seconds=self._door.lease_seconds)
        engine.act(_start, run, executor, until)
        self._attempt = (run.id, 0, 1)
        renew = functools.partial(self._renew, self._attempt)
        threading.Thread(target=renew, name="segue-celery-header", daemon=True).start()

    def _first_plan(self, body: Any) -> Plan:
        """The generator, and all that follows its end."""
        head = Capture(self._door.app)
        head.add(GENERATOR, (), {}, {"task_id": uuid()})
        with capturing(head):
            first = head.apply_to_generated(maybe_signature(body, app=head.app)) if body is not None else []
            head.follow()
        plan = plan_of_capture(self._door, self._name, head, head.value_at_end(first) if first else None)
        generator = structs.replace(
            plan.nodes[0], queue=f"@{self._door.name}/generated", spec=f'{{"{GENERATED}":true}}', handle=None
        )
        nodes = [generator, *[structs.replace(node, holes=_growing_in(node)) for node in plan.nodes[1:]]]
        if body is None:
            nodes.append(Node("all", None, parents=(0,), result=_GROWING))
            return structs.replace(plan, nodes=tuple(nodes), result=Ref(1))
        return structs.replace(plan, nodes=tuple(nodes))

    def _flush(self) -> None:
        part, self._part = self._part, None
        if part is None or self._attempt is None:
            return
        if self._group_id is not None:
            part.leave_open(self._group_id)
        with capturing(part):
            part.follow()
        members = [call for call in part.calls if self._is_member(call)]
        members.sort(key=lambda call: call.options.get("group_index") or 0)
        values = [Pending(call.number) for call in members]
        if self._group_id is None:  # they are of no chord
            part.calls = [call._replace(is_member=call.is_member and not is_open(call.chord)) for call in part.calls]
        plan = self._door.values.of_plan(plan_of_capture(self._door, self._name, part, values, names=self._names))
        self._additions += 1
        attempt, key = self._attempt, str(self._additions)
        found = patiently(lambda: self._door.engine.act(extend, attempt, plan, key=key))
        if found is None:
            raise RunStateError(
                "The run of this canvas was ended while its tasks were generated. Nothing more is added."
            )
        patiently(lambda: self._door.exchange([]))

    def _is_member(self, call: Call) -> bool:
        if self._group_id is None:
            return is_open(call.chord)
        return call.is_member and call.options.get("group_id") == self._group_id

    def _end(self, verdict: Verdict, **fields: Any) -> None:
        self._over.set()
        if self._attempt is not None:
            outcome = Outcome(*self._attempt, verdict, **fields)
            patiently(lambda: self._door.exchange([outcome]))

    def _renew(self, attempt: Attempt) -> None:
        lease = self._door.lease_seconds
        while not self._over.wait(lease / 4):
            try:
                engine = self._door.engine
                if not engine.act(renew_sent, attempt, until=engine.store.now() + timedelta(seconds=lease)):
                    return
            except PASSING_ERRORS:
                continue


def _start(act: Act, run: NewRun, executor: Executor, until: Any) -> None:
    start_runs(act, [run])
    send_steps(act, [(run.id, 0)], to=executor, until=until)


def _growing_in(node: Node) -> tuple[Hole, ...]:
    return tuple(Hole(hole.where, _GROWING) if hole.what == _LISTED else hole for hole in node.holes)
