"""Starts the runs of bundles whose window has passed.

A bundle that keeps all starts of a workflow needs the workflow's code, which is called with the list of what each start
was given; all others hold the plan that they start. The code is called outside of any transaction, on a closed bundle,
aside (`calling`): what takes long is asked for its answer at a later look, and holds up no other bundle.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from weakref import WeakKeyDictionary

import msgspec

from segue.authoring import registry, to_plan
from segue.authoring.values import Converters
from segue.engine import bundles
from segue.engine.bundles import Bundle
from segue.engine.engine import Engine
from segue.errors import PASSING_ERRORS
from segue.model import ErrorInfo
from segue.plan import codec
from segue.plan.graph import Plan
from segue.plan.labels import with_terms
from segue.scheduler.calling import Call, NoAnswerError, call_aside
from segue.scheduler.faults import text_of

BUNDLES_AT_ONCE = 100
MOMENT_SECONDS = 0.5  # after so long the other chores have their turn
PATIENCE_SECONDS = 0.5  # so long a workflow is waited for
MOST_MESSAGE = 2000  # characters of an error

Waiting = dict[str, tuple[Bundle, Call[Plan] | None]]
"""By run: bundles whose workflow has not returned, or (None) is not called as long as others have not."""

_decode_arguments = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
_of_engines: WeakKeyDictionary[Engine, Waiting] = WeakKeyDictionary()
logger = logging.getLogger("segue.bundles")


def start_due_bundles(engine: Engine) -> int:
    """Start a batch of what is due; returns how many bundles are dealt with, and not 0 when some are left."""
    now = engine.store.now()
    waiting = _of_engines.setdefault(engine, {})
    with engine.reading() as tx:
        due = bundles.due_bundles(
            tx, now, known=sorted(registry.workflows), limit=BUNDLES_AT_ONCE + len(waiting)
        )  # fmt: skip
    for run_id in waiting.keys() - set(due):
        del waiting[run_id]  # somebody else started it, or ended its run
    end = time.monotonic() + MOMENT_SECONDS
    done = 0
    for run_id in due:
        done += _start(engine, run_id, waiting)
        if time.monotonic() >= end:
            return max(done, 1)
    return done


def _start(engine: Engine, run_id: str, waiting: Waiting) -> bool:
    bundle, call = waiting.get(run_id) or (engine.act(lambda tx, now: bundles.close_bundle(tx, run_id, now)), None)
    if bundle is None:
        return False
    try:
        if _needs_code(bundle):
            if call is None:
                call = call_aside(bundle.workflow, partial(_called, bundle))
                call.wait(PATIENCE_SECONDS)
            plan = call.result()
        else:
            plan = _kept(bundle)
        engine.act(lambda tx, now: bundles.start_bundle(engine.store, tx, bundle, plan, now))
    except PASSING_ERRORS:
        raise
    except NoAnswerError as error:
        if run_id not in waiting:
            logger.warning("run %s waits, the others go on: %s", run_id, text_of(error))
        waiting[run_id] = (bundle, call)
        return False
    except Exception as error:  # of the user's code, or a plan that cannot be written: it must not hold up the others
        logger.exception("run %s of %s cannot be started", run_id, bundle.workflow)
        info = ErrorInfo(type(error).__qualname__, text_of(error, limit=MOST_MESSAGE))
        engine.act(lambda tx, now: bundles.fail_bundle(engine.store, tx, bundle, info, now))
    waiting.pop(run_id, None)
    return True


def _needs_code(bundle: Bundle) -> bool:
    return bundle.keep is bundles.Keep.ALL and bundle.plan is None


def _items(bundle: Bundle) -> list[msgspec.Raw]:
    return [_decode_arguments(raw)[0][0] for raw in bundle.arguments]


def _kept(bundle: Bundle) -> Plan:
    plan = codec.decode(bundle.plan or "")
    return bundles.with_items(plan, _items(bundle)) if bundle.keep is bundles.Keep.ALL else plan


def _called(bundle: Bundle) -> Plan:
    workflow = registry.find_workflow(bundle.workflow)
    values = [msgspec.json.decode(item) for item in _items(bundle)]
    args, kwargs = Converters(workflow.fn).apply(workflow.name, [values], {})
    plan = to_plan(workflow, *args, **kwargs)
    return plan if bundle.terms is None else with_terms(plan, bundle.terms)
