"""Starts the runs of debounces whose window has passed.

A debounce that keeps all starts of a workflow needs the workflow's code: it is called with the list of arguments of all
starts. So does a start by a process without the code (`engine.deferred`), with the arguments of that start. Every other
debounce stores the plan that it starts. The code is called outside of any transaction, on a closed debounce, in a
separate thread (`user_calls`). The result of a slow call is collected later; no other debounce waits for
it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from segue.authoring import declared, decode, to_plan
from segue.authoring.workflow import MAX_KEPT_BYTES
from segue.engine import debounce as debounces
from segue.engine.act import Act
from segue.engine.acts import Acts
from segue.engine.debounce import OpenDebounce
from segue.engine.engine import Engine
from segue.engine.locking import lock_within_a_moment
from segue.engine.scope import OF_ALL, step_back
from segue.errors import PASSING_ERRORS
from segue.model import RUN, ErrorInfo
from segue.observing.harmless_log import get_logger
from segue.plan import codec
from segue.plan.graph import Plan
from segue.plan.labels import with_terms
from segue.plan.lanes import with_keys
from segue.plan.namespaces import bare, namespace_of, plan_in
from segue.scheduler.error_text import text_of
from segue.scheduler.firing import known_workflows
from segue.scheduler.user_calls import Call, NoAnswerError, call_in_thread

CHORE = "debounces"
DEBOUNCES_AT_ONCE = 100
MOMENT_SECONDS = 0.5  # after this long the other chores get their turn
PATIENCE_SECONDS = 0.5  # how long to wait for a workflow
MOST_MESSAGE = 2000  # characters of an error

Waiting = dict[str, tuple[OpenDebounce, Call[Plan] | None]]
"""By run: debounces whose workflow has not returned, or (None) is not called until others have returned."""

_decode_arguments = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
_of_engines: WeakKeyDictionary[Engine, Waiting] = WeakKeyDictionary()
logger = get_logger("segue.debounces")


def start_due_debounces(engine: Engine) -> int:
    """Start a batch of due debounces. Returns how many were dealt with, and not 0 while some are left."""
    now = engine.store.now()
    waiting = _of_engines.setdefault(engine, {})
    aside = engine.stepped_back.of(CHORE)
    with engine.reading() as tx:
        due = debounces.due_debounces(
            tx, now, known=_known(engine), limit=DEBOUNCES_AT_ONCE + len(waiting) + len(aside)
        )  # fmt: skip
    for run_id in waiting.keys() - set(due) - set(aside):
        del waiting[run_id]  # another process started it, or ended its run
    end = time.monotonic() + MOMENT_SECONDS
    done = 0
    for run_id in due:
        if run_id in aside:
            continue
        done += _on_its_own(engine, run_id, waiting)
        if time.monotonic() >= end:
            return max(done, 1)
    return done


def _on_its_own(engine: Engine, run_id: str, waiting: Waiting) -> bool:
    """Start one debounce. If its rows are held, set it aside; if it cannot be read, its run fails."""
    try:
        return _start(engine, run_id, waiting)
    except OF_ALL:
        raise
    except Exception as error:  # noqa: BLE001 - it is held, or its row is damaged
        is_given_up = step_back(engine, CHORE, run_id, error, _give_up)
        if is_given_up:
            waiting.pop(run_id, None)
        return is_given_up


def _give_up(engine: Acts, run_id: str, error: Exception) -> None:
    info = ErrorInfo(type(error).__qualname__, f"the debounced start cannot be read: {text_of(error)}")
    engine.break_run(run_id, RUN, info)


def _start(engine: Engine, run_id: str, waiting: Waiting) -> bool:
    debounce, call = waiting.get(run_id) or (engine.act(debounces.close_debounce, run_id), None)
    if debounce is None:
        return False
    try:
        if _needs_code(debounce):
            if call is None:
                call = call_in_thread(debounce.workflow, partial(_called, debounce))
                call.wait(PATIENCE_SECONDS)
            plan = call.result()
        else:
            plan = _kept(debounce)
        engine.act(_start_unless_held, debounce, plan)
    except PASSING_ERRORS:
        raise
    except NoAnswerError as error:
        if run_id not in waiting:
            logger.warning("run %s waits, the others continue: %s", run_id, text_of(error))
        waiting[run_id] = (debounce, call)
        return False
    except Exception as error:  # the user's code raised, or the plan cannot be written: the others must continue
        logger.exception("run %s of %s cannot be started", run_id, debounce.workflow)
        info = ErrorInfo(type(error).__qualname__, text_of(error, limit=MOST_MESSAGE))
        engine.act(debounces.fail_debounce, debounce, info)
    waiting.pop(run_id, None)
    engine.stepped_back.forget(CHORE, run_id)
    return True


def _start_unless_held(act: Act, debounce: OpenDebounce, plan: Plan) -> bool:
    lock_within_a_moment(act.tx, debounce.run_id)
    return debounces.start_debounce(act, debounce, plan)


def _known(engine: Engine) -> list[str]:
    """The stored names of what this process can call."""
    return known_workflows(engine) + [engine.stored(name) for name in sorted(declared.tasks)]


def _needs_code(debounce: OpenDebounce) -> bool:
    return debounce.plan is None


def _items(debounce: OpenDebounce) -> list[msgspec.Raw]:
    return [_decode_arguments(raw)[0][0] for raw in debounce.arguments]


def _kept(debounce: OpenDebounce) -> Plan:
    plan = codec.decode(debounce.plan or "")
    if debounce.keep is not debounces.Keep.ALL:
        return plan
    plan = debounces.with_items(plan, _items(debounce))
    plan = msgspec.structs.replace(plan, nodes=(with_keys(plan.nodes[0]),))
    if plan.terms is None:
        return plan
    arguments = plan.nodes[0].args
    kept = arguments if len(arguments) <= MAX_KEPT_BYTES else None
    return msgspec.structs.replace(plan, terms=msgspec.structs.replace(plan.terms, arguments=kept))


def _called(debounce: OpenDebounce) -> Plan:
    name = bare(debounce.workflow)
    work: Any = declared.tasks[name] if name in declared.tasks else declared.find_workflow(name)
    if debounce.keep is debounces.Keep.ALL:
        args: list[Any] = [[decode(bytes(item).decode()) for item in _items(debounce)]]
        kwargs: dict[str, Any] = {}
    else:
        args, kwargs = decode(bytes(debounce.arguments[0]).decode())
    args, kwargs = work.converters.apply(work.name, args, kwargs)
    plan = to_plan(work, *args, **kwargs)
    plan = plan if debounce.terms is None else with_terms(plan, debounce.terms)
    return plan_in(plan, namespace_of(debounce.workflow))
