"""One step of a run, as users work with it: its state, and what a person can do to it. Also forks a run.

Arguments and results are written as JSON, as for a start; the annotations of the task convert them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from segue.authoring import declared, encode
from segue.client.given import guarded
from segue.client.output import OutputInfo, output_of
from segue.client.waiting import MESSAGE_LIMIT_BYTES, short
from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.engine.reopening.edit import NewArguments, edit_step
from segue.engine.reopening.fork import fork_run
from segue.engine.reopening.manual import mark_step, skip_step
from segue.engine.reopening.retry import retry_from, retry_run
from segue.engine.reopening.run_graph import MOST_NUMBER, find_step
from segue.engine.verbs import Done, Verb, say_to
from segue.engine.views import look
from segue.engine.views.checkpoints import CheckpointInfo, list_checkpoints
from segue.engine.views.values import step_with_values
from segue.errors import ConfigError, ResultTooLargeError, StoreError
from segue.given import shown
from segue.model import RunStatus
from segue.plan.check import Parameters
from segue.plan.indexed import check_key


@guarded
class StepHandle:
    """One step of one run. Made by `run.step(...)`. It reads nothing until it is used.

    Example::

        run.step("load[3]").mark({"rows": 0}, reason="the file is empty")
    """

    def __init__(self, engine: Engine, run_id: str, step: str | int) -> None:
        self._engine = engine
        self.run_id = run_id
        self.step = step

    def __repr__(self) -> str:
        return f"<StepHandle {self.step!r} of {self.run_id}>"

    def info(self) -> look.StepInfo:
        """All fields of the step, read at one moment, with its `arguments` and `result`. Raises StepNotFoundError.

        Both are JSON values: `arguments` is [args, kwargs]. A value in a payload store is a reference,
        `{"$segue.payload": [reference, digest, bytes]}`, and the result of a step that has not ended is None.

        Example::

            run.step("fetch[77]").info().arguments  # [["https://example.org/77"], {}]
        """
        with self._engine.reading() as tx:
            if isinstance(self.step, int) and 0 <= self.step < MOST_NUMBER:
                found = step_with_values(tx, self.run_id, self.step)
                if found is not None:
                    return found
            number = find_step(tx, self.run_id, self.step)
            found = step_with_values(tx, self.run_id, number)
            assert found is not None  # read in the same transaction
            return found

    def output(self, *, attempt: int | None = None) -> OutputInfo:
        """The end of what it has printed, in its latest attempt or in this one, also while it runs.

        Reading it lets the worker write it for some seconds, about once a second, so read it again and again to follow
        it. The first reading of a running step may wait a moment for the worker. Raises StepNotFoundError.

        Example::

            while not (found := run.step("load").output()).step_is_over:
                print(found.text[-80:])
                time.sleep(1)
        """
        return output_of(self._engine, self.run_id, self.step, attempt=attempt)

    def checkpoints(self) -> list[CheckpointInfo]:
        """What its task has recorded inside it, in order: results, sleeps, messages. Raises StepNotFoundError."""
        with self._engine.reading() as tx:
            return list_checkpoints(tx, self.run_id, find_step(tx, self.run_id, self.step))

    def retry(self, *, fresh: bool = False, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Run it and all steps below it again, including those that succeeded. Returns the status of the run.

        Tasks of steps that had not succeeded go on from their checkpoints, unless `fresh`.
        """
        return self._apply(retrying(self.step, fresh=fresh, actor=actor, reason=reason))

    def skip(self, *, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Make it skipped. Returns the status of the run.

        If it had failed or was cancelled, the steps after it are decided again, and a run that had ended continues.
        Raises RunStateError if it is running or succeeded.
        """
        return self._apply(partial(skip_step, step=self.step, actor=actor, reason=reason))

    def mark(self, result: Any = None, *, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Make it succeeded with this result, which is any JSON value. Returns the status of the run.

        Steps below it that were skipped or failed are planned again, and a run that had ended continues. Raises
        RunStateError if it is running, or succeeded with another result.
        """
        text = short(result_text(result), self._engine.payloads)
        return self._apply(partial(mark_step, step=self.step, result=text, actor=actor, reason=reason))

    def edit(self, /, *args: Any, **kwargs: Any) -> RunStatus:
        """Change its arguments; for a failed step they apply when it is retried. Returns the status of the run.

        Positional arguments replace all that it had. Keyword arguments are set one by one. A new argument also replaces
        a result of another step that would have been filled in there. Raises PlanError if the task does not accept the
        arguments, and RunStateError if the step is running or succeeded.

        Example::

            run.step("load").edit("s3://bucket/other.csv", chunk=500)
            run.retry()
        """
        return self._apply(editing(self.step, args, kwargs))

    def _apply(self, verb: Verb) -> RunStatus:
        return RunStatus(say_to(self._engine, verb, self.run_id).status)


def retrying(
    step: str | int | None = None, *, fresh: bool = False, actor: str | None = None, reason: str | None = None
) -> Verb:
    """The verb `retry`, optionally from a step. It acts once on each run, even if the transaction is repeated."""
    begun: dict[str, str] = {}

    def verb(act: Act, run_id: str) -> Done:
        act_id = begun.setdefault(run_id, act.new_id())
        if step is None:
            return retry_run(act, run_id, act_id=act_id, actor=actor, reason=reason, fresh=fresh)
        return retry_from(act, run_id, step=step, act_id=act_id, actor=actor, reason=reason, fresh=fresh)

    return verb


def editing(
    step: str | int, args: Sequence[Any], kwargs: Mapping[str, Any], *, actor: str | None = None,
    reason: str | None = None,
) -> Verb:  # fmt: skip
    """The verb `edit`."""
    return partial(
        edit_step, step=step, new=_new(args or None, kwargs), parameters=parameters_of, actor=actor, reason=reason
    )  # fmt: skip


def fork(
    engine: Engine, run_id: str, step: str | int, *, args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None, key: str | None = None, tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None, actor: str | None = None, reason: str | None = None,
) -> tuple[str, bool]:  # fmt: skip
    """Start a new run from a step of a run. Returns its id, and False if a run with the key existed already."""
    check_key("key", key, tells_apart="one run from another")
    id_ = engine.new_id()
    new = None if args is None and not kwargs else _new(args, kwargs or {})
    made = engine.act(
        fork_run, run_id, new_id=id_, step=step, key=key, tags=tags, metadata=metadata, new=new,
        parameters=parameters_of, actor=actor, reason=reason,
    )  # fmt: skip
    with suppress(StoreError):  # the run is committed, and any worker can do the rest
        engine.finish(made)
    return made, made == id_


def result_text(value: Any) -> str:
    """A result given by a person, as JSON text. Raises ResultTooLargeError."""
    text = encode(value, "result")
    if len(text) > MESSAGE_LIMIT_BYTES:
        raise ResultTooLargeError(
            f"the result is {len(text):,} bytes and may be {MESSAGE_LIMIT_BYTES:,}; store it elsewhere, and give its "
            "location"
        )
    return text


def parameters_of(task: str) -> Parameters | None:
    """The parameters of a task, if this process knows it."""
    found = declared.tasks.get(task)
    return None if found is None else found.parameters


def _new(args: Sequence[Any] | None, kwargs: Mapping[str, Any]) -> NewArguments:
    if args is not None and not isinstance(args, (list, tuple)):
        raise ConfigError(f"args={shown(args)} is not a list of arguments. Write args=[value].")
    given = () if args is None else args
    positional = [encode(value, f"argument {index}") for index, value in enumerate(given)]
    named = {name: encode(value, f"argument {name}") for name, value in kwargs.items()}

    def check(task: str) -> None:
        found = declared.tasks.get(task)
        if found is not None:
            found.converters.check(found.short_name, given, kwargs)

    return NewArguments(None if args is None else positional, named, check)
