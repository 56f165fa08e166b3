"""Starts the runs of bundles whose window has passed.

A bundle that keeps all starts of a workflow needs the workflow's code, which is called with the list of what each start
was given; all others hold the plan that they start. The code is called outside of any transaction, on a closed bundle.
"""

from __future__ import annotations

import logging

import msgspec

from segue.authoring import registry, to_plan
from segue.authoring.values import Converters
from segue.engine import bundles
from segue.engine.engine import Engine
from segue.errors import PASSING_ERRORS
from segue.model import ErrorInfo
from segue.plan import codec
from segue.plan.graph import Plan
from segue.plan.labels import with_terms

MOST_MESSAGE = 2000  # characters of an error
_decode_arguments = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
logger = logging.getLogger("segue.bundles")


def start_due_bundles(engine: Engine) -> int:
    """Start a batch of what is due; returns how many bundles are dealt with."""
    now = engine.store.now()
    with engine.reading() as tx:
        due = bundles.due_bundles(tx, now, known=sorted(registry.workflows))
    return sum(_start(engine, run_id) for run_id in due)


def _start(engine: Engine, run_id: str) -> bool:
    bundle = engine.act(lambda tx, now: bundles.close_bundle(tx, run_id, now))
    if bundle is None:
        return False
    try:
        plan = _plan(bundle)
        engine.act(lambda tx, now: bundles.start_bundle(engine.store, tx, bundle, plan, now))
    except PASSING_ERRORS:
        raise
    except Exception as error:  # of the user's code, or a plan that cannot be written: it must not hold up the others
        logger.exception("run %s of %s cannot be started", run_id, bundle.workflow)
        info = _told(error)
        engine.act(lambda tx, now: bundles.fail_bundle(engine.store, tx, bundle, info, now))
    return True


def _told(error: Exception) -> ErrorInfo:
    """The error as any database can hold it."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's __str__
        text = "(it could not be described)"
    text = text[:MOST_MESSAGE].replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return ErrorInfo(type(error).__qualname__, text)


def _plan(bundle: bundles.Bundle) -> Plan:
    if bundle.keep is not bundles.Keep.ALL:
        return codec.decode(bundle.plan or "")
    items = [_decode_arguments(raw)[0][0] for raw in bundle.arguments]
    if bundle.plan is not None:
        return bundles.with_items(codec.decode(bundle.plan), items)
    workflow = registry.find_workflow(bundle.workflow)
    values = [msgspec.json.decode(item) for item in items]
    args, kwargs = Converters(workflow.fn).apply(workflow.name, [values], {})
    plan = to_plan(workflow, *args, **kwargs)
    return plan if bundle.terms is None else with_terms(plan, bundle.terms)
