"""From a canvas to the calls that it makes: Celery's own canvas code runs, and what it would publish is collected.

No rule of a canvas is written down here again. A canvas is applied as ever, but `app.send_task` collects the call and
returns its result object. The result of a call that has not run is a `Pending`, which goes through Celery's merging of
arguments like any other value. Then each call is treated as a worker treats a task that succeeded: its callbacks and
the rest of its chain are applied with its `Pending`, and a chord's body when all members of the header are there.

Nothing is sent, and no result backend is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from celery._state import _task_stack
from celery.backends.rpc import RPCBackend
from celery.canvas import Signature, group, maybe_signature
from celery.result import AsyncResult, GroupResult
from celery.utils.functional import _regen
from kombu.utils.functional import maybe_list
from kombu.utils.uuid import uuid

from segue.executors.celery.calls import (
    BEFORE,
    IMMUTABLE,
    NOT_KEPT,
    Call,
    Kin,
    Pending,
    is_open,
    member_of,
    takes_exception,
)

if TYPE_CHECKING:
    from segue.executors.celery.growing import Growing

_current: ContextVar[Capture | None] = ContextVar("segue_celery_capture", default=None)


class Capture:
    """The calls of one canvas, while it is applied."""

    def __init__(self, app: Any, growing: Growing | None = None, reply_to: str | None = None) -> None:
        self.app = app
        self._growing = growing
        self.reply_to = reply_to or (app.thread_oid if isinstance(app.backend, RPCBackend) else None)
        self.calls: list[Call] = []
        self.kin: dict[int, Kin] = {}
        self.is_outermost = True
        self.is_awaited = False  # the caller gets the result object, and may wait for what is applied
        self._parents: tuple[int, ...] = ()
        self._sizes: dict[str, int] = {}
        self._members: dict[str, list[Call]] = {}
        self._bodies: dict[str, Any] = {}
        self._complete: list[str] = []
        self._applied: set[str] = set()  # Celery, too, applies the body of a chord once if its header is applied twice
        self._launched_by: dict[str, tuple[int, ...]] = {}
        self._structures: dict[str, list[Any]] = {}
        self._watched: dict[str, list[frozenset[int]]] = {}  # by equal error callbacks
        self._is_body = False
        self._header: tuple[int, ...] = ()
        self._on_failure = False

    def add(self, task: str, args: Any, kwargs: Any, options: dict[str, Any]) -> AsyncResult:
        """Collect a call, as `app.send_task` was asked for it, and return its result object."""
        if self._growing is not None and self._growing.is_open and self.is_outermost:
            return self._growing.add(self, task, args, kwargs, options)
        id_ = options.get("task_id") or uuid()
        result_cls = options.get("result_cls") or self.app.AsyncResult
        parent = self.app.current_worker_task if self.is_outermost else None
        if parent is not None:
            request = parent.request
            options = {
                **options,
                "root_id": options.get("root_id") or request.root_id or request.id,
                "parent_id": options.get("parent_id") or request.id,
            }
        kept = {name: value for name, value in options.items() if name not in NOT_KEPT and value is not None}
        if self.reply_to is not None:
            kept["reply_to"] = self.reply_to  # whichever process sends it, the result goes to who waits for it
        chord = options.get("chord")
        self.calls.append(
            Call(
                len(self.calls), id_, task, tuple(args or ()), dict(kwargs or {}), kept, self._parents,
                maybe_list(options.get("link")) or [], maybe_list(options.get("link_error")) or [],
                list(options.get("chain") or []), None if member_of(chord) else chord, chord is not None,
                self._is_body, self._header, self._on_failure, False,
            )
        )  # fmt: skip
        result = result_cls(id_)
        result.ignored = options.get("ignore_result")
        if parent is not None and options.get("add_to_parent", True):
            parent.add_trail(result)
        return result

    def note_chord_size(self, group_id: str, size: int) -> None:
        """How many members of a header the body waits for, as Celery tells its result backend."""
        if group_id in self._applied:
            return
        self._sizes[group_id] = max(size, self._sizes.get(group_id, 0))  # 5.3 counts a group in the header once more
        self._launched_by[group_id] = self._parents
        self._check(group_id)

    def note_header(self, header: tuple[str, Any], body: Any) -> None:
        """The results of a header, as they lie in each other. One that is still being generated is flat."""
        group_id, results = header
        if self._growing is not None and self.is_outermost and not self.calls and self._growing.open(header, body):
            return
        if not isinstance(results, _regen):
            self._structures[group_id] = list(results)

    def leave_open(self, group_id: str) -> None:
        """More members of this header will come: nothing here calls its body."""
        self._applied.add(group_id)

    def begin_after(self) -> None:
        """Add a call that stands for what is before the canvas: what is applied next comes after it."""
        self.add(BEFORE, (), {}, {})
        self._parents = (0,)

    def apply_to_generated(self, body: Signature) -> list[int]:
        """Apply the body of a chord to the only call, which stands for its header; returns the calls that begin it."""
        self.is_outermost = False
        self._parents, self._header = (0,), (0,)
        self._is_body = not isinstance(body, group)
        with outside_tasks():
            found = self._apply(body, ([Pending(0)],))
        self._is_body, self._header = False, ()
        return found

    def follow(self) -> None:
        """Apply what follows from each call, until nothing does."""
        self.is_outermost = False
        number = 0
        with outside_tasks():
            while number < len(self.calls) or self._complete:
                if number < len(self.calls):
                    self._follow(self.calls[number])
                    number += 1
                while self._complete:
                    self._apply_body(self._complete.pop(0))

    def _follow(self, call: Call) -> None:
        """What a worker does when the task succeeds: callbacks, then the chain, then the chord."""
        self._parents = (call.number,)
        if call.is_inline:
            return
        value = (Pending(call.number),)
        options = {"parent_id": call.id, "root_id": call.options.get("root_id") or call.id}
        kin = self.kin[call.number] = Kin()
        kin.callbacks = self._call_callbacks(call, value, options)
        if call.chain:
            following: Signature = maybe_signature(call.chain[-1], app=self.app)
            kin.chain = self._apply(following, value, chain=call.chain[:-1], **options)
        if call.errbacks:
            self._call_errbacks(call)
        group_id = call.options.get("group_id")
        if call.chord is not None and not is_open(call.chord) and group_id and group_id not in self._applied:
            self._members.setdefault(group_id, []).append(call)
            self._bodies[group_id] = call.chord
            self._check(group_id)

    def _call_callbacks(self, call: Call, value: tuple[Any, ...], options: dict[str, Any]) -> list[list[int]]:
        """As a worker does: groups by themselves, the others together. Returns the first calls of each callback."""
        callbacks = [maybe_signature(each, app=self.app) for each in call.callbacks]
        if len(callbacks) < 2:
            return [self._apply(each, value, **options) for each in callbacks]
        found = {number: self._apply(each, value, **options) for number, each in enumerate(callbacks)
                 if isinstance(each, group)}  # fmt: skip
        single = [number for number in range(len(callbacks)) if number not in found]
        if single:
            first = self._apply(group([callbacks[number] for number in single], app=self.app), value, **options)
            alone = len(first) == len(single)  # or one of them begins with several: they are only known together
            found.update((number, [first[index]] if alone else first) for index, number in enumerate(single))
        return [found[number] for number in range(len(callbacks))]

    def _apply(self, work: Signature, args: tuple[Any, ...], **options: Any) -> list[int]:
        """Apply what follows; returns the calls with which it begins.

        Where its arguments do not fit its task, it becomes a call that fails when it is due. Celery finds that in the
        worker; the canvas was started by then.
        """
        before = len(self.calls)
        try:
            work.apply_async(args, **options)
        except TypeError as error:
            if len(self.calls) > before:
                raise
            options = {**work.options, **{name: value for name, value in options.items() if value is not None}}
            self.add(str(work.task), (), {}, options)
            self.calls[-1] = self.calls[-1]._replace(error=str(error))
        return [call.number for call in self.calls[before:]]

    def _check(self, group_id: str) -> None:
        if group_id in self._members and len(self._members[group_id]) == self._sizes.get(group_id):
            self._complete.append(group_id)

    def _apply_body(self, group_id: str) -> None:
        members = self._members.pop(group_id)
        self._applied.add(group_id)
        body = maybe_signature(self._bodies.pop(group_id), app=self.app)
        self._parents = tuple(member.number for member in members)
        members.sort(key=lambda member: member.options.get("group_index") or 0)
        self._is_body, self._header = not isinstance(body, group), self._calls_up_to(self._launched_by.pop(group_id))
        value = self._value_of(group_id, members)
        self._apply(body, (value,), parent_id=members[-1].id)  # in Celery, it is the member that ended last
        self._is_body, self._header = False, ()

    def _value_of(self, group_id: str, members: list[Call]) -> list[Any]:
        """What the body of a chord gets: the results in the order of the header, nested where groups are in it."""
        numbers = {member.id: member.number for member in members}

        def value(result: Any) -> Any:
            return [value(each) for each in result.results] if isinstance(result, GroupResult) else Pending(
                numbers[result.id]
            )  # fmt: skip

        results = self._structures.pop(group_id, [])
        if any(isinstance(result, GroupResult) for result in results):
            try:
                return [value(result) for result in results]
            except KeyError:  # a result is not a member's own
                pass
        return [Pending(member.number) for member in members]

    def _calls_up_to(self, launched_by: tuple[int, ...]) -> tuple[int, ...]:
        """The calls of a chord's header, whose members are the parents now: all that came of what launched it."""
        found: set[int] = set()
        above = list(self._parents)
        while above:
            number = above.pop()
            if number not in found:
                found.add(number)
                found.update(self.calls[number].header)  # of a chord that is the body of another one
                if self.calls[number].parents != launched_by:
                    above.extend(self.calls[number].parents)
        return tuple(sorted(found))

    def _call_errbacks(self, call: Call) -> None:
        """What Celery does when the task fails, or the header of the chord whose body it is."""
        watched = frozenset({*call.header, call.number})
        self._on_failure = True
        by_id: list[tuple[int, Any]] = []
        found: dict[int, list[int]] = {}
        for number, each in enumerate(call.errbacks):
            errback = maybe_signature(each, app=self.app)
            if takes_exception(self.app, errback):
                self._parents = self._not_yet_watched(errback, watched)
                found[number] = self._add_inline(errback, call)
            else:
                by_id.append((number, errback))
        root_id = call.options.get("root_id") or call.id
        for number, errback in by_id:
            self._parents = self._not_yet_watched(errback, watched)
            found[number] = self._apply(errback, (call.id,), parent_id=call.id, root_id=root_id)
        self.kin[call.number].errbacks = [found[number] for number in range(len(call.errbacks))]
        self._on_failure = False
        self._parents = (call.number,)

    def _not_yet_watched(self, errback: Signature, watched: frozenset[int]) -> tuple[int, ...]:
        """Those of these calls that no equal error callback of a chord inside watches: it is called once for a failure.

        `chord.link_error` links the same callback to the chords of its header. One that is linked to a single task of
        the header is called for that task, and once more for the body, as Celery does.
        """
        key = repr((errback.task, errback.args, errback.kwargs, errback.immutable))
        left = watched
        for before in self._watched.get(key, ()):
            if len(before) > 1 and before < watched:
                left -= before
        self._watched.setdefault(key, []).append(watched)
        return tuple(sorted(left))

    def _add_inline(self, errback: Signature, call: Call) -> list[int]:
        self.calls.append(
            Call(
                len(self.calls), uuid(), errback.task, (call.id, *errback.args), dict(errback.kwargs),
                {IMMUTABLE: True} if errback.immutable else {},
                self._parents, [], [], [], None, False, False, (), True, True,
            )
        )  # fmt: skip
        return [len(self.calls) - 1]

    def value_at_end(self, first: list[int] | None = None) -> Any:
        """What stands for the result of the last task in the chain that begins with these calls."""
        found = first or [call.number for call in self.calls if not call.parents]
        while True:
            follow = self.kin[found[0]].chain if len(found) == 1 else []
            if not follow and all(self.calls[number].is_member for number in found):
                follow = [call.number for call in self.calls if call.is_body and set(found) <= set(call.parents)]
            if not follow:
                return [Pending(number) for number in found] if len(found) > 1 else Pending(found[0])
            found = follow

    def left_chords(self) -> list[str]:
        """The groups whose bodies were not applied: their headers never have that many members."""
        return list(self._members)


@contextmanager
def outside_tasks() -> Iterator[None]:
    """As if no task ran here: what follows later is not sent by the task that applies the canvas."""
    running = list(_task_stack.stack)
    for _ in running:
        _task_stack.pop()
    try:
        yield
    finally:
        for task in running:
            _task_stack.push(task)


def current_capture() -> Capture | None:
    """The capture that is going on in this context, if one is."""
    return _current.get()


def captured(
    app: Any, apply: Callable[[], Any], growing: Growing | None = None, *, reply_to: str | None = None,
    is_awaited: bool = False,
) -> tuple[Capture, Any]:  # fmt: skip
    """Apply a canvas by `apply`; returns the calls that it makes, and its result object.

    With `growing`, calls of a header that is being generated go there. `reply_to` is the queue for results, where a
    result backend sends them as messages; by default that of this process. With `is_awaited`, the caller gets the
    result object, so the result backend expects the result.
    """
    capture = Capture(app, growing, reply_to)
    capture.is_awaited = is_awaited
    with capturing(capture):
        result = apply()
        capture.follow()
    return capture, result


@contextmanager
def uncaptured() -> Iterator[None]:
    """Send for real meanwhile."""
    with capturing(None):
        yield


@contextmanager
def capturing(capture: Capture | None) -> Iterator[None]:
    """Let calls go to this capture meanwhile."""
    token = _current.set(capture)
    try:
        yield
    finally:
        _current.reset(token)
