"""A canvas as a plan: one step for each task that it calls, with Celery's ids, options and arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature
from celery.result import GroupResult, ResultBase
from celery.utils.time import maybe_iso8601, maybe_make_aware
from kombu import Exchange, Queue
from msgspec import structs

from segue.errors import PlanError, Problem, SerializationError
from segue.executors.celery.calls import Call, Kin, Pending
from segue.executors.celery.capture import Capture, captured, capturing
from segue.executors.celery.codec import dumps, encode_arguments, expression_of, gathered
from segue.executors.celery.limited import limited, task_of_segue, terms_of
from segue.executors.celery.priority import later_first
from segue.executors.celery.spec import BODY, DELAYED, ERROR, INLINE, KIN, WATCHES
from segue.executors.celery.waits import waiting_node
from segue.model import WAIT_FOR, Expr, Gather, JoinRule, Policy, Ref
from segue.plan.codec import steps_in
from segue.plan.graph import Node, Plan

if TYPE_CHECKING:
    from segue.executors.celery.door import Door


JSON = ("json", "application/json")


def plan_of_canvas(
    door: Door, canvas: Signature, args: Any = (), kwargs: Mapping[str, Any] | None = None, **options: Any
) -> tuple[Plan, Any]:  # fmt: skip
    """The plan of a canvas, and the result object that Celery's caller gets.

    Raises PlanError for arguments that Celery's JSON cannot hold, and where Celery would run the tasks at once.
    """
    _refuse_eager(door, canvas)
    capture, result = captured(door.app, lambda: canvas.apply_async(args, kwargs, **options))
    return plan_of_capture(door, str(canvas.task), capture, result), result


def plan_after(door: Door, canvas: Signature) -> Plan | None:
    """The plan of a canvas that gets a result: that of its first step, a join for the caller to fill in.

    None if the canvas takes no result, because all its first tasks are immutable.
    """
    _refuse_eager(door, canvas)
    capture = Capture(door.app)
    with capturing(capture):
        capture.begin_after()
        result = canvas.apply_async((Pending(0),))
        capture.follow()
    plan = plan_of_capture(door, str(canvas.task), capture, result)
    if not any(0 in steps_in(hole.what) for node in plan.nodes for hole in node.holes):
        return None
    return structs.replace(plan, nodes=(Node("before", None), *plan.nodes[1:]))


def _refuse_eager(door: Door, canvas: Signature) -> None:
    if door.app.conf.task_always_eager:
        why = "task_always_eager is on: Celery would run its tasks here and now, before there is a run"
        remedy = "Turn it off where canvases are started with Segue, and let a worker run them"
        raise PlanError(str(canvas.task), [Problem(str(canvas.task), why, remedy)])


def plan_of_capture(
    door: Door, name: str, capture: Capture, result: Any, *, replaces: bool = False, names: Names | None = None
) -> Plan:  # fmt: skip
    """The plan of what was captured; its result is what `result` will have.

    In one that replaces a task, a callback that fails fails nothing else: the task has the result that it waits for.
    """
    left = capture.left_chords()
    if left:
        raise PlanError(
            name, [Problem(group_id, "fewer tasks of the header end than its body waits for", "Report this canvas")
                   for group_id in left],
        )  # fmt: skip
    names = names or Names(capture.calls)
    numbers: dict[str, int] = {}
    for call in capture.calls:
        numbers.setdefault(call.id, call.number)
    nodes: list[Node] = []
    problems: list[Problem] = []
    for call in capture.calls:
        serializer = _serializer_of(door, call)
        if serializer not in JSON:
            what = f"its messages are {serializer}, and what Segue stores of a task is JSON"
            problems.append(Problem(call.task, what, "Give the task serializer='json', or start it without Segue"))
            continue
        try:
            watched = _watched(call, numbers)
            nodes.append(_node(door, call, capture.kin.get(call.number), names.take(call.task), watched))
        except SerializationError as error:
            problems.append(Problem(call.task, str(error), "Pass JSON, or an identifier instead of the object"))
    if problems:
        raise PlanError(name, problems)
    expr = _result_of(result, numbers)
    if replaces and expr is not None:
        needed = _above(capture.calls, set(steps_in(expr)))
        nodes = [
            node if number in needed else structs.replace(node, policy=Policy(may_fail=True))
            for number, node in enumerate(nodes)
        ]
    if door.later_first:
        nodes = later_first(door.app, nodes)
    tasks = [task for call in capture.calls if (task := task_of_segue(door.app.tasks.get(call.task))) is not None]
    return Plan(name, tuple(nodes), result=expr, limits=terms_of(tasks))


def _serializer_of(door: Door, call: Call) -> str:
    task = door.app.tasks.get(call.task)
    return str(call.options.get("serializer") or getattr(task, "serializer", None) or door.app.conf.task_serializer)


def _above(calls: list[Call], numbers: set[int]) -> set[int]:
    """These calls, and all that come before them."""
    found: set[int] = set()
    while numbers:
        number = numbers.pop()
        if number not in found:
            found.add(number)
            numbers.update(calls[number].parents)
    return found


class Names:
    """Names of steps: a task's own name, with a number where the canvas calls it more than once, or may do so."""

    def __init__(self, calls: list[Call] | None = None) -> None:
        self._are_all = calls is None
        self._is_repeated = {task: count > 1 for task, count in Counter(call.task for call in calls or ()).items()}
        self._taken: Counter[str] = Counter()

    def take(self, task: str) -> str:
        """The name of the next step that calls this task."""
        number = self._taken[task]
        self._taken[task] += 1
        return f"{task}[{number}]" if self._are_all or self._is_repeated[task] else task


def _watched(call: Call, numbers: Mapping[str, int]) -> int | None:
    """The call of whose task an error callback gets the id, as its first argument."""
    first = call.args[0] if call.on_failure and call.args else None
    return numbers.get(first) if isinstance(first, str) else None


def _node(door: Door, call: Call, kin: Kin | None, name: str, watched: int | None) -> Node:
    relatives = _kin(call, kin)
    if call.task == WAIT_FOR:
        spec = None if relatives is None else dumps({KIN: relatives}, "what follows a wait")
        return structs.replace(waiting_node(call, name), spec=spec)
    args, holes = encode_arguments(call.args, call.kwargs, f"an argument of {call.task}")
    options = {key: _plain(value) for key, value in call.options.items()}
    if call.is_body:
        options[BODY] = True
    if call.is_inline:
        options[INLINE] = True
    if call.error:
        options[ERROR] = call.error
    if relatives is not None:
        options[KIN] = relatives
    if watched is not None:
        options[WATCHES] = watched - call.number
    delay, eta = options.pop("countdown", None), options.pop("eta", None)
    if delay is not None or eta is not None:
        options[DELAYED] = True
    run_at: datetime | None = None
    if eta is not None and delay is None:
        run_at = maybe_make_aware(maybe_iso8601(eta), door.app.timezone)
    node = Node(
        name, f"{door.name}:{call.task}", args, holes, call.parents, queue=_queue_of(door, call),
        rule=JoinRule.SOME_FAILED if call.on_failure else JoinRule.ALL_SUCCEEDED,
        delay=None if delay is None else max(float(delay), 0.0), run_at=run_at, policy=Policy(),
        executor=door.name, spec=dumps(options, f"an option of {call.task}"),
        handle=None if call.on_failure else call.id,
    )  # fmt: skip
    task = task_of_segue(door.app.tasks.get(call.task))
    return node if task is None else limited(node, task)


def _kin(call: Call, kin: Kin | None) -> dict[str, Any] | None:
    """How many follow, and where their steps are, seen from the call's own step; None if nothing follows."""
    counts = [len(call.chain), len(call.callbacks), len(call.errbacks), int(call.is_member)]
    if kin is None or not any(counts):
        return None

    def places(calls: list[int]) -> list[int]:
        return [number - call.number for number in calls]

    found: dict[str, Any] = {"counts": counts}
    if kin.chain:
        found["chain"] = places(kin.chain)
    if kin.callbacks:
        found["callbacks"] = [places(each) for each in kin.callbacks]
    if kin.errbacks:
        found["errbacks"] = [places(each) for each in kin.errbacks]
    return found


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, (Queue, Exchange)) else value


def _result_of(result: Any, numbers: Mapping[str, int]) -> Expr | None:
    """Where the value of a result object comes from, or of what stands for it."""
    if isinstance(result, (Pending, list)):
        return expression_of(result)
    if isinstance(result, GroupResult):
        items = [_result_of(each, numbers) for each in result.results]
        return gathered([item for item in items if item is not None]) if items else Gather(())
    if isinstance(result, ResultBase) and result.id in numbers:
        return Ref(numbers[result.id])
    return None


def _queue_of(door: Door, call: Call) -> str:
    """The queue on which a step waits until it is sent: the broker's, behind the name of the executor."""
    queue = call.options.get("queue")
    if queue is None:
        options = {key: call.options[key] for key in ("exchange", "routing_key") if key in call.options}
        try:
            task = door.app.tasks.get(call.task)
            routed = door.app.amqp.router.route(options, call.task, call.args, call.kwargs, task)
        except Exception as error:
            raise PlanError(
                call.task, [Problem(call.task, f"task_routes cannot place it: {error}", "Mend the route")]
            ) from error
        queue = None if options else routed.get("queue")  # Celery fills in its default queue, whatever they say
        queue = queue or _bound_queue(door, routed) or routed.get("queue") or door.app.conf.task_default_queue
    return f"@{door.name}:{getattr(queue, 'name', queue)}"


def _bound_queue(door: Door, routed: Mapping[str, Any]) -> str | None:
    """The queue to which the broker will take a message that has an exchange and a routing key, but names no queue."""
    key = routed.get("routing_key")
    exchange = routed.get("exchange")
    exchange_name = getattr(exchange, "name", exchange)
    for name, queue in door.app.amqp.queues.items():
        if queue.routing_key == key and exchange_name in (None, queue.exchange.name):
            return str(name)
    return None if key is None else str(key)
