"""The words of other systems, for errors: a person who knows Celery, Prefect, Dagster, Airflow or
Dramatiq reads the word of Segue.

Only names that do not exist are looked up here, so nothing of it costs anything in a program that is right.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from segue.errors import DefinitionError
from segue.given import clean

Words = dict[str, str]


def _words(**said: str) -> Words:
    """The words that are written in each value, apart by blanks, with its key as what to do instead."""
    return {word: advice for advice, words in said.items() for word in words.split()}


_START = "apply_async delay enqueue submit send defer defer_async trigger send_with_options apply run_async schedule"
_ADVICE = {
    "start": "to start it, write segue.start({me}, ...)",
    "run": "to run it in this process, write segue.run({me}, ...)",
    "s": "write {me}.s(...), its signature",
    "options": "write {me}.options(queue=..., retries=...), a copy with other options",
    "map": "to run it for each item of a list, write {me}.map(items)",
    "retry": "inside a task write raise segue.Retry('why', after=30)",
    "call": "outside of a workflow, call {me}(...), the plain function",
    "si": "write {me}.si(...), a signature that ignores the previous result",
    "inside": "give the options to the tasks inside it, or to @workflow(queue=..., priority=...)",
    "each": "for one run per item, write segue.start_many({me}, [(item,) for item in items]); for one run with all of "
    "them, write group({me}.s(item) for item in items)",
    "chain": "to let one follow the other, write chain(first, second)",
    "hook": "to run something after a failure, write @workflow(on_failure=task.s()) or a step with rule='any_failed'",
    "keywords": "give its options with its arguments, as in {kind}(..., queue=..., after=...)",
    "task": "write from segue import task, and @task above the function",
    "flow": "write from segue import workflow, and @workflow above the function",
    "worker": "start workers on the command line: segue worker -A package.module",
    "start_work": "write segue.start(task, ...)",
    "of_run": "write segue.get(run_id).{word}(...), or segue.select(...).{word}() for many runs",
    "wait": "write run.wait(timeout=60)",
    "result": "write run.wait(timeout=60).result()",
    "is_final": "write run.status.is_final",
    "status": "write run.status",
    "error": "write run.info().error",
    "cancel": "write run.cancel()",
    "info": "write run.info()",
    "send": "write run.send('name', value)",
    "known": "only a run has a result: run = segue.start({me}), then run.wait().result()",
}  # fmt: skip

OF_TASKS = _words(
    start=_START + " start kick kiq", run="run execute submit_sync", s="signature subtask message partial bind",
    options="with_options set override using configure", map="expand chunks imap map_async fan_out", retry="retry",
    si="immutable", call="func function __wrapped_function__ original call",
)  # fmt: skip
OF_WORKFLOWS = _words(
    start=_START + " start serve deploy execute_async",
    run="run execute execute_in_process",
    s="signature to_job",
    inside="options with_options set using",
    each="map starmap expand chunks",
    retry="retry",
)
OF_ELEMENTS = _words(
    start=_START + " start", run="run execute", options="set with_options on_queue",
    chain="link then pipe and_then add_child", hook="link_error on_error", known="get result wait collect",
)  # fmt: skip
OF_RESULTS = _words(
    options="options with_options set override", rule="state failed successful ready exception traceback",
    known="get result results wait join collect", map="map for_each expand",
    chain="then link pipe",
)  # fmt: skip
_ABOUT_RESULTS = {
    "options": "options are given to the task, before its call: {task}.options(...)(...)",
    "rule": "to go on after a failure, give the next task options(rule='all_done') or options(rule='any_failed')",
    "known": "pass the result itself to the task that takes it, or return it",
    "map": "write task.map(...) of it, with the task that each item goes to",
    "chain": "to let a task follow, call it with this result",
}


def advice_about_result(name: str, task: str) -> str | None:
    """What to write instead of reading this attribute of a future result of `task`; None if only the user knows."""
    advice = OF_RESULTS.get(name)
    return None if advice is None else _ABOUT_RESULTS[advice].format(task=task)


OF_COMMANDS = _words(keywords="options set with_options")
OF_SEGUE = _words(
    start_work="submit enqueue send_task delay apply_async defer queue add_task trigger launch create_run spawn call",
    task="task shared_task job actor step op", flow="workflow flow dag pipeline",
    worker="worker serve start_worker work consume run_worker worker_main autodiscover_tasks",
    of_run="cancel pause resume retry wait result explain steps fork",
)  # fmt: skip
OF_RUNS = _words(
    result="get value output return_value", wait="join wait_for_completion wait_until_finished",
    is_final="ready done is_finished finished is_final", status="state successful failed running",
    error="exception traceback error", cancel="revoke abort terminate stop kill", send="signal",
    info="key tags metadata workflow arguments created_at started_at finished_at",
)  # fmt: skip


def order_error() -> DefinitionError:
    """The error for `first >> second`, which is Airflow's way to order steps."""
    return DefinitionError(
        ">> and << do not order steps here; write chain(first, second), or in a workflow call them and write "
        "second.options(after=first_result)(...)"
    )


class Unfamiliar:
    """Gives a class errors that say what Segue calls the method or attribute that was expected of it."""

    __slots__ = ()
    _elsewhere: ClassVar[Words] = {}

    if not TYPE_CHECKING:  # a type checker would take any name for one of the class's

        def __getattr__(self, name):
            raise self._no_attribute(name)

        def __rshift__(self, other):
            raise order_error()

        __lshift__ = __rrshift__ = __rlshift__ = __rshift__

    def _no_attribute(self, name: str) -> AttributeError:
        kind = type(self).__name__
        advice = None if name.startswith("_") else self._elsewhere.get(name)
        text = f"{kind!r} object has no attribute {name!r}"
        if advice is not None:
            text += f"; {_ADVICE[advice].format(me=self._called(), word=name, kind=kind.lower())}"
        return AttributeError(text, name=name, obj=self)

    def _called(self) -> str:
        """What its user calls it, for an example."""
        return repr(self)


MODULE = _words(
    group="parallel gather fan_out chunks concurrent", chain="sequence series pipe pipeline link then",
    task="shared_task job actor step op asset activity", workflow="flow dag DAG subflow graph",
    Segue="Celery Client App Broker connect", Retry="retry TryAgain RetryException",
    Skip="SkipTask AirflowSkipException",
    Abort="Reject Ignore Fail AirflowFailException", current="context get_run_context current_task get_current_context",
    shell="BashOperator bash command", wait_for="wait_for_event pause_flow_run signal receive",
    sleep="Timer delay", Run="AsyncResult WorkflowHandle",
)  # fmt: skip


def unknown(name: str, known: Iterable[str]) -> AttributeError | ImportError:
    """The error for a name that the module segue lacks.

    To be called by the `__getattr__` of the module. `from segue import name` hides every AttributeError behind a
    message of its own, so there it is an ImportError.
    """
    text = f"module 'segue' has no attribute {name!r}"
    if name == "chord":
        text += "; write chain(group(...), callback.s())"
    else:
        meant = MODULE.get(name) or (None if name.startswith("_") else nearest(name, known))
        text += "" if meant is None else f"; did you mean segue.{meant}?"
    return ImportError(text, name="segue") if _is_from_import() else AttributeError(text, name=name)


def _is_from_import() -> bool:
    """Whether the module's `__getattr__` was called by a `from` import, and not by `hasattr` or `getattr`."""
    from opcode import opmap  # noqa: PLC0415 - only for a message

    try:
        caller = sys._getframe(3)
    except ValueError:  # called from outside of any Python code
        return False
    return caller.f_lasti >= 0 and caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]


OPTIONS = _words(
    retries="retry max_retries max_attempts retry_count", retry_on="autoretry_for retry_for throws retry_when",
    give_up_on="dont_autoretry_for",
    retry_delay="default_retry_delay retry_delay_seconds min_backoff retry_backoff retry_after retry_wait",
    retry_max_delay="retry_backoff_max max_retry_delay max_backoff", retry_factor="backoff_factor retry_backoff_factor",
    timeout="time_limit soft_time_limit timeout_seconds execution_timeout job_timeout run_timeout",
    delay="countdown delay_seconds schedule_in", run_at="eta at schedule_at start_at scheduled_for",
    schedule_to_start="expires max_age ttl", rate="rate_limit",
    concurrency="max_concurrency concurrency_limit max_active_tis_per_dag max_active_runs pool_slots",
    queue="queue_name work_queue work_queue_name routing_key pool", rule="trigger_rule",
    after="upstream depends_on deps dependencies wait_for upstream_tasks",
    when="condition run_if only_if", may_fail="ignore_failure allow_failure soft_fail ignore_errors",
    name="task_id task_run_name flow_run_name actor_name flow_name dag_id job_name",
    description="doc_md", tags="labels", schedule="cron interval crontab schedule_interval every",
    on_failure="on_failure_callback on_error link_error on_crash failure_hook",
    on_success="on_success_callback on_completion_success", finally_="on_completion on_exit teardown",
    lost_retries="acks_late reject_on_worker_lost",
)  # fmt: skip


def unknown_options(label: str, unknown: Iterable[str], known: Iterable[str]) -> DefinitionError:
    """The error for options that do not exist, with the names that were probably meant.

    Example::

        raise unknown_options("@task load", ["max_retries"], TaskOptions.__annotations__)
    """
    there = sorted(known)
    names = ", ".join(_guessed(name, there) for name in sorted(unknown))
    return DefinitionError(f"{label}: unknown option {names}; there are {', '.join(there)}")


def _guessed(name: str, known: list[str]) -> str:
    name = clean(name, 200)
    if name == "bind":
        return "bind (leave it out; segue.current() tells a task about its attempt)"
    meant = OPTIONS.get(name)
    if meant not in known:
        meant = nearest(name, known)
    return name if meant is None else f"{name} (did you mean {meant}?)"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is spelt almost like this one; None if there is none."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a message

    found = get_close_matches(name, list(known), n=1)
    return found[0] if found else None
