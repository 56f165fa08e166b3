"""`canvas="durable"`: chains, groups and chords of a project go through Segue without a changed line.

Three methods of Celery are what every way to apply a canvas comes to: `_chain.run`, `group.apply_async` and
`_chord.run`. They are replaced once in a process, and do what they did for apps that did not ask for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from celery import canvas
from celery.app.task import Task
from celery.backends.rpc import RPCBackend
from celery.canvas import Signature
from celery.exceptions import Ignore

from segue.executors.celery.attempt import current_attempt
from segue.executors.celery.calls import member_of
from segue.executors.celery.capture import captured, current_capture
from segue.executors.celery.door import Door, find_door
from segue.executors.celery.growing import apply_growing
from segue.executors.celery.members import add_to_chord_of
from segue.executors.celery.plans import plan_of_capture
from segue.executors.celery.reports import out_of_reach
from segue.executors.celery.standins import stands_in
from segue.executors.celery.stored import expect_replies


@functools.cache
def take_replacements() -> None:
    """Let `self.replace(...)` in a step's task be recorded instead of sent; once. Other tasks are left alone."""
    plain = Task.on_replace

    @functools.wraps(plain)
    def on_replace(task: Any, work: Signature) -> Any:
        attempt = current_attempt()
        if attempt is None or task.request.is_eager:
            return plain(task, work)
        reply_to = task.request.reply_to if isinstance(task.backend, RPCBackend) else None
        capture, result = captured(attempt.door.app, work.delay, reply_to=reply_to)
        attempt.replacement = plan_of_capture(attempt.door, str(work.task), capture, result, replaces=True)
        raise Ignore("Replaced by new task")

    Task.on_replace = on_replace
    plainly = Task.replace

    @functools.wraps(plainly)
    def replace(task: Any, work: Signature) -> Any:
        attempt = current_attempt()
        if attempt is None or attempt.relatives is None:
            return plainly(task, work)
        before = {name: getattr(task.request, name) for name in ("chain", "callbacks", "errbacks")}
        task.request.update(attempt.relatives.replace(task.request))
        try:
            return plainly(task, work)
        finally:
            task.request.update(before)

    Task.replace = replace
    add_plainly = Task.add_to_chord

    @functools.wraps(add_plainly)
    def add_to_chord(task: Any, work: Signature, lazy: bool = False) -> Any:
        if member_of(task.request.chord) is None:
            return add_plainly(task, work, lazy)
        work.set(chord=task.request.chord, root_id=task.request.root_id)
        work.freeze()
        return work if lazy else work.delay()

    Task.add_to_chord = add_to_chord


@functools.cache
def make_canvases_durable() -> None:
    """Replace the three methods; once."""
    for kind, method in ((canvas._chain, "run"), (canvas.group, "apply_async"), (canvas._chord, "run")):
        setattr(kind, method, _durable(getattr(kind, method)))


def _durable(plain: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(plain)
    def apply(work: Signature, *args: Any, **kwargs: Any) -> Any:
        if current_capture() is None:
            member, attempt = member_of(kwargs.get("chord") or work.options.get("chord")), current_attempt()
            door = find_door(kwargs.get("app") or work.app)
            if member is not None and door is not None:
                return add_to_chord_of(door, member, str(work.task), functools.partial(plain, work, *args, **kwargs))
            if attempt is not None and attempt.relatives is not None and stands_in(kwargs.get("chain")):
                return attempt.relatives.insert(
                    str(work.task), kwargs["chain"], lambda chain: plain(work, *args, **{**kwargs, "chain": chain})
                )
        door = _door_for(work, kwargs)
        if door is None:
            return plain(work, *args, **kwargs)
        if door.is_in_worker:
            raise out_of_reach("A canvas that a task applies")
        expect_replies(door.app)
        capture, result = apply_growing(door, work, functools.partial(plain, work, *args, **kwargs))
        if capture.calls:
            plan = plan_of_capture(door, str(work.task), capture, result)
            door.engine.start([(door.values.of_plan(plan), None)])
        return result

    return apply


def _door_for(work: Signature, options: dict[str, Any]) -> Door | None:
    """The door that this goes through; None when Celery itself is to apply it."""
    if current_capture() is not None:
        return None
    app = options.get("app") or work.app
    door = find_door(app)
    if door is None or not door.is_durable or app.conf.task_always_eager or options.get("chord") is not None:
        return None
    return door
