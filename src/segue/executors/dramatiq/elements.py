"""Messages and their compositions as elements of plans: what `segue.start`, `chain` and `group` lay out as steps.

A result goes to the next message as Dramatiq's pipelines pass it: as the last positional argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from typing import Any, Unpack

import msgspec
from dramatiq import Message, group, pipeline

from segue.authoring import compose
from segue.authoring.drafts import Outside
from segue.authoring.handle import Handle
from segue.authoring.known import holds_unknown
from segue.authoring.limits import fairness
from segue.authoring.options import Placement, StepOptions, placed
from segue.authoring.trace import Trace
from segue.errors import DefinitionError, SerializationError
from segue.executors.dramatiq import spec
from segue.executors.dramatiq.compositions import Chain, Group, WithDelay
from segue.executors.dramatiq.door import Door, door_for
from segue.given import finite, shown
from segue.model import Ref, Value
from segue.plan.check import Parameters

_INSTEAD = {
    "retries": "max_retries=... of the actor or the message",
    "retry_delay": "min_backoff=... of the actor or the message",
    "retry_factor": "min_backoff=... and max_backoff=... of the actor or the message",
    "retry_max_delay": "max_backoff=... of the actor or the message",
    "retry_jitter": "min_backoff=... of the actor or the message",
    "timeout": "time_limit=... of the actor or the message",
    "queue": "queue_name=... of the actor",
    "executor": "a task of Segue's own, which can run elsewhere",
    "resources": "a task of Segue's own, which can run elsewhere",
    "push": "a task of Segue's own, which can run elsewhere",
}
"""What to write instead of options of Segue's own steps that Dramatiq has under another name."""


class MessageStep(compose.Element):
    """A message as one step. Made by `step`."""

    __slots__ = ("broker", "message", "placement", "takes_result")

    def __init__(
        self, message: Message[Any], *, takes_result: bool, broker: Any = None, placement: Placement | None = None
    ) -> None:
        self.message = message
        self.takes_result = takes_result
        self.broker = broker
        self.placement = placement or Placement()

    @property
    def plan_name(self) -> str:  # type: ignore[override]
        """A run of one message is called by its actor."""
        return str(self.message.actor_name)

    def options(self, **changes: Unpack[StepOptions]) -> MessageStep:
        """A copy with other options of the step; those of the message are Dramatiq's."""
        for name in changes:
            if name in _INSTEAD:
                raise DefinitionError(
                    f"{self!r}: {name}= has no effect on a step that Dramatiq runs. Write {_INSTEAD[name]}"
                )
        placement = placed(self.placement, changes, of=self.message.actor_name)
        return MessageStep(self.message, takes_result=self.takes_result, broker=self.broker, placement=placement)

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add the one step."""
        message, placement = self.message, self.placement
        door = door_for(message.actor_name, self.broker)
        taken = given if self.takes_result else None
        args, kwargs, text = self._stored()
        number = trace.add(
            task=f"{door.name}:{message.actor_name}", base=placement.name or message.actor_name,
            parameters=_parameters(door, message) if placement.limits or placement.fair else None,
            args=args if taken is None else (*args, taken), kwargs=kwargs, placement=placement,
        )  # fmt: skip
        queue = f"@{door.name}:{message.queue_name}"
        trace.drafts[number].outside = Outside(door.name, queue, text, str(message.message_id))
        if given is not None and taken is None:
            trace.wait(number, given)
        return Handle(trace, Ref(number), (number,))

    def _stored(self) -> tuple[tuple[Any, ...], dict[str, Any], str]:
        """The arguments as a plan has them, and the spec. What JSON cannot hold is in the spec."""
        message, actor = self.message, self.message.actor_name
        if holds_unknown([message.args, message.kwargs], Handle):
            args = tuple(_plain_but_handles(arg, actor) for arg in message.args)
            kwargs = {name: _plain_but_handles(arg, actor) for name, arg in message.kwargs.items()}
            _, _, text = spec.stored(message.copy(args=(), kwargs={}))
            return args, kwargs, text
        args_, kwargs, text = spec.stored(message)
        return tuple(args_), kwargs, text

    def __repr__(self) -> str:
        return f"step({self.message})"


class Pause(compose.Element):
    """A delay with nothing behind it in its composition: a step without a message."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def options(self, **changes: Unpack[StepOptions]) -> Pause:
        """Refused, because no message has them."""
        raise DefinitionError(f"{self!r} takes no options ({', '.join(changes)})")

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add the one step."""
        door = door_for(None)
        number = trace.add(
            task=f"{door.name}:delay", base="delay", parameters=None, args=(), kwargs={},
            placement=Placement(delay=self.seconds),
        )  # fmt: skip
        trace.drafts[number].outside = Outside(
            door.name, f"@{door.name}:default", spec.written(spec.Spec(is_pause=True))
        )  # fmt: skip
        if given is not None:
            trace.wait(number, given)
        return Handle(trace, Ref(number), (number,))

    def __repr__(self) -> str:
        return f"a delay of {self.seconds:g} s"


class Sequence(compose.Element):
    """Elements that run one after another, however many. An empty one is passed through."""

    __slots__ = ("elements", "plan_name")

    def __init__(self, elements: Iterable[compose.Element], plan_name: str = "chain") -> None:
        self.elements = tuple(elements)
        self.plan_name = plan_name

    @property
    def depth(self) -> int:  # type: ignore[override]
        """How many groups are inside each other."""
        return max([element.depth for element in self.elements], default=0)

    def options(self, **changes: Unpack[StepOptions]) -> Sequence:
        """A copy, each of whose steps has these options; options for the start (delay, when, ...) go to the first."""
        every, first = compose._split(changes)
        elements = [element.options(**every) for element in self.elements]
        if elements and first:
            elements[0] = elements[0].options(**first)
        return Sequence(elements, self.plan_name)

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add the elements, each after the one before."""
        since = len(trace.drafts)
        roots: tuple[int, ...] | None = None
        for element in self.elements:
            given = element._lay_out(trace, given)
            if roots is None and len(trace.drafts) > since:
                roots = given._roots
        if given is None:
            return Handle(trace, Value(msgspec.Raw(b"null")), (), ())
        return Handle(trace, given._expr, given._steps, roots or (), given._ends)

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, self.elements[:3]))}{', ...' if len(self.elements) > 3 else ''})"


def step(
    message: Message[Any], *, fair_by: str | None = None, fair_weights: dict[str, float] | None = None,
    **options: Unpack[StepOptions],
) -> MessageStep:  # fmt: skip
    """A message as a step of a plan, with options of Segue: rule, delay, limits, metadata, may_fail, priority, name ...

    In a chain it gets the result before it as its last positional argument, unless it has `pipe_ignore`. `fair_by` is a
    parameter of the actor: steps share their queue fairly between its values. Raises DefinitionError. Example::

        segue.start(chain(step(price.message(7)), wait_for.s("approved"), step(ship.message(7), delay=60)))
    """
    if not isinstance(message, Message):
        raise DefinitionError(f"step was given {shown(message)}; give a message of Dramatiq: step(actor.message(...))")
    made = MessageStep(message, takes_result=not message.options.get("pipe_ignore"))
    expanded = _expanded(made, None)
    if isinstance(expanded, MessageStep):
        fair = fairness(f"step({message.actor_name})", fair_by, fair_weights)
        if fair is not None:
            expanded.placement = msgspec.structs.replace(expanded.placement, fair=fair)
        return expanded.options(**options) if options else expanded
    raise DefinitionError(f"step was given {message}, which has a pipe_target. Give the pipeline itself to chain(...)")


def is_composition(work: object) -> bool:
    """Whether this is a message, or made of messages."""
    return isinstance(work, (Message, pipeline, group, Chain, Group, WithDelay))


def is_returnable(value: object) -> bool:
    """Whether a task that returns this wants it to be run. What `send()` and `run()` return was sent already."""
    return isinstance(value, (Chain, Group, WithDelay))


def planned(work: Any) -> compose.Element:
    """The element of a composition for Segue's own chains, in which Dramatiq's objects get the result before them."""
    return element_of(work, pass_results=isinstance(work, (Message, pipeline, group)))


def element_of(work: Any, *, pass_results: bool = False) -> compose.Element:
    """The element of a message, a composition, or anything that Segue's own chains accept.

    With `pass_results`, members of `Chain` get the result before them.
    """
    return _element(work, 0.0, pass_results=pass_results)


def _element(work: Any, delay: float, *, pass_results: bool) -> compose.Element:
    """`delay`: seconds by which it begins later."""
    if isinstance(work, WithDelay):
        return _element(work.task, delay + _milliseconds(work.delay) / 1000, pass_results=pass_results)
    if isinstance(work, Chain):
        return _chain(work, delay, pass_results=pass_results)
    if isinstance(work, (Group, group)):
        return _group(work, delay, pass_results=pass_results)
    if isinstance(work, pipeline):
        return _pipeline(work, delay, pass_results=pass_results)
    if isinstance(work, Message):
        takes = pass_results and not work.options.get("pipe_ignore")
        return _expanded(_later(MessageStep(work, takes_result=takes), delay), None)
    found: compose.Element = _later(compose.as_element(work, "Chain"), delay)
    return found


def _chain(work: Chain, delay: float, *, pass_results: bool) -> compose.Element:
    if not work.tasks:
        return Pause(delay) if delay else Sequence(())
    return Sequence(
        _element(task, delay if not index else 0.0, pass_results=pass_results) for index, task in enumerate(work.tasks)
    )


def _group(work: Group | group, delay: float, *, pass_results: bool) -> compose.Element:
    broker = None if isinstance(work, Group) else work.broker
    tasks = (
        work.tasks
        if isinstance(work, Group)
        else [_on(broker, child, pass_results=pass_results) for child in work.children]
    )
    if not tasks and delay:
        return Pause(delay)
    members = compose.Group([_element(task, delay, pass_results=pass_results) for task in tasks])
    callbacks = [] if isinstance(work, Group) else work.completion_callbacks
    if not callbacks:
        return members
    after = [MessageStep(Message(**each), takes_result=False, broker=broker) for each in callbacks]
    return Sequence([members, compose.Group(after)], "group")


def _pipeline(work: pipeline, delay: float, *, pass_results: bool) -> compose.Element:
    elements: list[compose.Element] = []
    before: Message[Any] | None = None
    for message in work.messages:
        if not isinstance(message, Message):  # a group in a pipeline, which Dramatiq itself cannot run
            elements.append(_element(message, delay, pass_results=True))
            before, delay = None, 0.0
            continue
        takes = (pass_results or bool(elements)) and not _is_ignored(before, message, work.broker)
        seconds = max(delay, _milliseconds(message.options.get("delay") or 0) / 1000)
        elements.append(_later(MessageStep(message, takes_result=takes, broker=work.broker), seconds))
        before, delay = message, 0.0
    return Sequence(elements, "pipeline")


def _expanded(first: MessageStep, broker: Any) -> compose.Element:
    """A message that carries what follows it, as a pipeline that was taken apart does."""
    elements: list[compose.Element] = [first]
    message = first.message
    while (target := message.options.get("pipe_target")) is not None:
        following: Message[Any] = Message(**target)
        takes = not _is_ignored(message, following, broker)
        seconds = _milliseconds(following.options.get("delay") or 0) / 1000
        elements.append(_later(MessageStep(following, takes_result=takes, broker=broker), seconds))
        message = following
    return first if len(elements) == 1 else Sequence(elements, "pipeline")


def _is_ignored(before: Message[Any] | None, message: Message[Any], broker: Any) -> bool:
    """Whether a message gets no result: it says so itself, or the actor before it does."""
    if message.options.get("pipe_ignore"):
        return True
    if before is None:
        return False
    actor = door_for(before.actor_name, broker).actors.get(before.actor_name)
    return actor is not None and bool(actor.options.get("pipe_ignore"))


def _on(broker: Any, child: Any, *, pass_results: bool) -> Any:
    takes = pass_results and _is_single(child) and not child.options.get("pipe_ignore")
    return MessageStep(child, takes_result=takes, broker=broker) if _is_single(child) else child


def _is_single(child: Any) -> bool:
    return isinstance(child, Message) and child.options.get("pipe_target") is None


def _later(element: Any, delay: float) -> Any:
    return element.options(delay=delay) if delay else element


def _milliseconds(delay: Any) -> float:
    found = finite(delay)
    if found is None or found < 0:
        raise DefinitionError(f"WithDelay(..., {shown(delay)}): give a delay in milliseconds, 0 or more")
    return found


def _parameters(door: Door, message: Message[Any]) -> Parameters | None:
    """The parameters of the actor, by which keys of limits find their arguments; None if it is not known here."""
    actor = door.actors.get(message.actor_name)
    return None if actor is None else Parameters.of(signature(actor.fn))


def _plain_but_handles(value: Any, of: str) -> Any:
    """An argument as it comes out of a message, with the results in it that are not known yet."""
    if isinstance(value, Handle):
        return value
    if holds_unknown(value, Handle):
        if isinstance(value, dict):
            return {key: _plain_but_handles(item, of) for key, item in value.items()}
        return [_plain_but_handles(item, of) for item in value]
    try:
        return spec.plain(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise SerializationError(
            f"{of}: {shown(value)} is not JSON, and other arguments are results that are not known yet: {error}"
        ) from error
