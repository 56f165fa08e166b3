"""`flow`: a composition with a name, hooks, and the choice whether results are passed on."""

from __future__ import annotations

from typing import Any

from dramatiq import Message

from segue.authoring.compose import Element, as_element
from segue.authoring.handle import Handle
from segue.authoring.trace import Trace
from segue.errors import DefinitionError
from segue.executors.dramatiq.elements import element_of, is_composition, step
from segue.given import is_a, shown
from segue.model import RUN, Hook, Ref
from segue.plan.graph import Plan


def flow(
    work: Any, *, name: str | None = None, pass_results: bool = False, on_success: Any = None, on_failure: Any = None,
    finally_: Any = None, fail_fast: bool = False,
) -> Plan:  # fmt: skip
    """The plan of a composition of messages, for `segue.start`.

    With `pass_results`, a member of `Chain` gets the result before it as its last positional argument, a list after a
    group. `on_success`, `on_failure` and `finally_` are messages, or anything else that can be run, which follow when
    everything has ended. A message gets the result of the run (`on_success`), or a dict with run_id, workflow, status
    and error, as its last positional argument, unless it has `pipe_ignore`. `fail_fast` ends the run at the first
    failure. Raises DefinitionError and PlanError. Example::

        segue.start(flow(Chain(fetch.message(7), store.message()), name="import", on_failure=alert.message()))
    """
    if name is not None and (not is_a(name, str) or not name.strip()):
        raise DefinitionError(f"flow(name={shown(name)}): give a text, or leave it out")
    element = element_of(work, pass_results=pass_results)
    trace = Trace(name or element.plan_name)
    result = element._lay_out(trace, None)
    for hook, found in ((Hook.ON_SUCCESS, on_success), (Hook.ON_FAILURE, on_failure), (Hook.FINALLY, finally_)):
        if found is not None:
            trace.hook = hook
            _hook(found)._lay_out(trace, Handle(trace, Ref(RUN), ()))
    return trace.finish(result._expr, fail_fast=fail_fast)


def _hook(found: Any) -> Element:
    """A message gets the outcome of the run; of a composition, none does."""
    if isinstance(found, Message) and found.options.get("pipe_target") is None:
        return step(found)
    return element_of(found) if is_composition(found) else as_element(found, "flow")
