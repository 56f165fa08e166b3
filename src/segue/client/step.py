"""One step of a run, as users hold it: what it is doing, and what a person does to it. Forking a run is here, too.

Arguments and results are written as JSON, as a start writes them; the task's annotations type them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from segue.authoring import encode, registry
from segue.client.waiting import MESSAGE_LIMIT_BYTES
from segue.engine.engine import Engine
from segue.engine.ids import new_id
from segue.engine.verbs import Done, Verb
from segue.engine.views import look
from segue.errors import ConfigError, ResultTooLargeError
from segue.model import RunStatus
from segue.plan.check import Parameters

if TYPE_CHECKING:
    from segue.engine.reopening.edit import NewArguments


class StepHandle:
    """One step of one run. Made by `run.step(...)`; nothing is looked up until it is used.

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
        """Everything about it, at one moment; raises StepNotFoundError."""
        from segue.engine.reopening.run_graph import find_step  # noqa: PLC0415 - keeps `import segue` quick, here and below

        with self._engine.reading() as tx:
            number = find_step(tx, self.run_id, self.step)
            return look.list_steps(self._engine.store, tx, self.run_id, after=number - 1, limit=1)[0]

    def retry(self, *, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Run it and everything below it again, also what succeeded; returns the status of the run."""
        return self._say(retrying_from(self.step, actor=actor, reason=reason))

    def skip(self, *, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Let it be skipped; returns the status of the run.

        When it had failed or was cancelled, what follows is judged anew, and a run that had ended goes on. Raises
        RunStateError when it runs, or succeeded.
        """
        from segue.engine.reopening.by_hand import skip_step  # noqa: PLC0415 - as above

        return self._say(partial(skip_step, step=self.step, actor=actor, reason=reason))

    def mark(self, result: Any = None, *, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Let it have succeeded with this result, which is what JSON can hold; returns the status of the run.

        What was skipped, or failed, below it comes back, and a run that had ended goes on. Raises RunStateError when it
        runs, or succeeded with another result.
        """
        from segue.engine.reopening.by_hand import mark_step  # noqa: PLC0415 - as above

        return self._say(partial(mark_step, step=self.step, result=result_text(result), actor=actor, reason=reason))

    def edit(self, *args: Any, **kwargs: Any) -> RunStatus:
        """Give it other arguments; those of a step that failed count when it is retried. Returns the run's status.

        Positional arguments take the place of all that it had, keyword arguments are set one by one. Where a new
        one stands, no other step's result is filled in any more. Raises PlanError when its task does not take
        them, and RunStateError when it runs or succeeded.

        Example::

            run.step("load").edit("s3://bucket/other.csv", chunk=500)
            run.retry()
        """
        return self._say(editing(self.step, args, kwargs))

    def _say(self, verb: Verb) -> RunStatus:
        return RunStatus(self._engine.act(lambda tx, now: verb(self._engine.store, tx, self.run_id, now)).status)


def retrying_from(step: str | int, *, actor: str | None = None, reason: str | None = None) -> Verb:
    """The verb `retry from a step`, which takes effect once on each run however often its transaction is repeated."""
    from segue.engine.reopening.retry import retry_from  # noqa: PLC0415 - as above

    begun: dict[str, str] = {}

    def verb(store: Any, tx: Any, run_id: str, now: Any) -> Done:
        act_id = begun.setdefault(run_id, new_id(now))
        return retry_from(store, tx, run_id, now, step=step, act_id=act_id, actor=actor, reason=reason)

    return verb


def editing(
    step: str | int, args: Sequence[Any], kwargs: Mapping[str, Any], *, actor: str | None = None,
    reason: str | None = None,
) -> Verb:  # fmt: skip
    """The verb `edit`."""
    from segue.engine.reopening.edit import edit_step  # noqa: PLC0415 - as above

    return partial(
        edit_step, step=step, new=_new(args or None, kwargs), parameters=parameters_of, actor=actor, reason=reason
    )  # fmt: skip


def fork(
    engine: Engine, run_id: str, step: str | int, *, args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None, key: str | None = None, tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None, actor: str | None = None, reason: str | None = None,
) -> tuple[str, bool]:  # fmt: skip
    """Start a new run from a run, at a step; returns its id, and False when a run of that key was there already."""
    from segue.engine.reopening.fork import fork_run  # noqa: PLC0415 - as above

    if key == "":
        raise ConfigError(
            f"key={key!r} cannot tell one run from another. Give a text that is not empty, or leave it out."
        )
    id_ = new_id(engine.store.now())
    new = None if args is None and not kwargs else _new(args, kwargs or {})
    made = engine.act(
        lambda tx, now: fork_run(
            engine.store, tx, run_id, now, new_id=id_, step=step, key=key, tags=tags, metadata=metadata, new=new,
            parameters=parameters_of, actor=actor, reason=reason,
        )
    )  # fmt: skip
    return made, made == id_


def result_text(value: Any) -> str:
    """A result that a person gives, as JSON text; raises ResultTooLargeError."""
    text = encode(value)
    if len(text) > MESSAGE_LIMIT_BYTES:
        raise ResultTooLargeError(
            f"the result is {len(text):,} bytes and may be {MESSAGE_LIMIT_BYTES:,}; store it, and give where it is"
        )
    return text


def parameters_of(task: str) -> Parameters | None:
    """What a task takes, when this process knows it."""
    found = registry.tasks.get(task)
    return None if found is None else found.parameters


def _new(args: Sequence[Any] | None, kwargs: Mapping[str, Any]) -> NewArguments:
    from segue.engine.reopening.edit import NewArguments  # noqa: PLC0415 - as above

    positional = None if args is None else [encode(value) for value in args]
    return NewArguments(positional, {name: encode(value) for name, value in kwargs.items()})
