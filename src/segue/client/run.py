"""One run, as users work with it: its state, and the operations on it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self

from segue.authoring import declared
from segue.authoring.definition import Result
from segue.authoring.elsewhere import OF_RUNS, Unfamiliar
from segue.authoring.filling import no_store, read
from segue.client.given import guarded
from segue.client.grouped import Grouped
from segue.client.progress import DATABASE_AWAY_SECONDS, Followed
from segue.client.step import StepHandle, fork, retrying
from segue.client.waiting import send
from segue.engine import control
from segue.engine.engine import Engine
from segue.engine.halting import await_halts
from segue.engine.patience import Patience
from segue.engine.sending import Sent
from segue.engine.verbs import say_to
from segue.engine.views import explain as explaining
from segue.engine.views import look
from segue.engine.views.reason import Reason
from segue.errors import NotFinishedError, RunFailedError, WaitTimeoutError
from segue.model import RunStatus, StepStatus
from segue.payloads.keeping import Payloads

if TYPE_CHECKING:
    from segue.store.protocol import Transaction

FIRST_LOOK_SECONDS = 0.002
LAST_LOOK_SECONDS = 0.1


@guarded
class Run(Unfamiliar, Followed, Grouped, Generic[Result]):
    """One run. Each attribute is read from the database when it is used; the object itself keeps only the id.

    `is_new` is False if the start or fork that returned this object found an existing run under the same key, and None
    if the run was looked up.
    """

    _elsewhere = OF_RUNS
    _json_remedy = "return run.id; or return task.s(...), so that the work becomes a part of this run"

    def __init__(self, engine: Engine, id_: str, *, is_new: bool | None = None) -> None:
        self._engine = engine
        self.id = id_
        self.is_new = is_new

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    def __deepcopy__(self, _: object) -> Run:
        return type(self)(self._engine, self.id, is_new=self.is_new)  # its connections are not copied

    def info(self) -> look.RunInfo:
        """All fields of the run, read at one moment."""
        with self._look() as tx:
            return look.run_info(tx, self.id)

    @property
    def status(self) -> RunStatus:
        """Its status now."""
        return self.info().status

    def counts(self) -> dict[StepStatus, int]:
        """The number of its steps in each status."""
        with self._look() as tx:
            return look.count_steps(tx, self.id)

    def steps(
        self, *, status: str | None = None, name: str | None = None, after: int = -1, limit: int = 1000
    ) -> list[look.StepInfo]:
        """Its steps in order of their numbers: at most `limit`, with numbers greater than `after`."""
        with self._look() as tx:
            return look.list_steps(tx, self.id, status=status, name=name, after=after, limit=limit)

    def attempts(self, *, step: int | None = None) -> list[look.AttemptInfo]:
        """The attempts that failed, were lost or printed something, with their errors and output."""
        with self._look() as tx:
            return look.list_attempts(tx, self.id, step=step)

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until it is final, at most `timeout` seconds (then WaitTimeoutError). Returns itself."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_LOOK_SECONDS
        patience = Patience(DATABASE_AWAY_SECONDS)
        while not patience.ask(self._is_final, otherwise=False):
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if timeout is not None and left <= 0:
                raise self._late(timeout)
            time.sleep(left)
            pause = min(pause * 1.5, LAST_LOOK_SECONDS)
        return self

    def result(self) -> Result:
        """The return value of the workflow, converted by its annotation. Raises NotFinishedError or RunFailedError."""
        with self._look() as tx:
            info = look.run_info(tx, self.id)
            text = look.run_result(tx, self.id) if info.status is RunStatus.SUCCEEDED else None
        if text is not None:
            result: Result = _read_result(info.workflow, text, self._engine.payloads)
            return result
        if not info.status.is_final:
            raise NotFinishedError(f"run {self.id} is {info.status}; wait for it first: run.wait(timeout=60)")
        why = f": {info.error.step} failed with {info.error.type}: {info.error.message}" if info.error else ""
        raise RunFailedError(f"run {self.id} of {info.workflow} {info.status}{why}")

    def pause(self, *, stop_running: bool = False, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Start none of its steps from now on. Returns its status. A final run is left as it is.

        Steps that wait at a broker of Celery do not begin, either: this waits until its workers have confirmed that.
        Raises WaitTimeoutError if one of them does not; the run is paused nevertheless.

        Running steps continue. With `stop_running` they are asked to end, and start again with the same arguments after
        `resume`; this does not count as a try. `actor` and `reason` are recorded.
        """
        verb = partial(control.pause_run, stop_running=stop_running, actor=actor, reason=reason)
        done = say_to(self._engine, verb, self.id)
        unanswered = await_halts(self._engine, [self.id]) if done.status == RunStatus.PAUSED else []
        if unanswered:
            raise WaitTimeoutError(
                f"Run {self.id} is paused, but {', '.join(unanswered)} did not confirm it in time, and may still "
                "begin steps whose messages it has. Pause the run again to ask once more."
            )
        return RunStatus(done.status)

    def resume(self, *, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Continue where it was paused. Returns its status. A run that is not paused is left as it is."""
        return self._apply(partial(control.resume_run, actor=actor, reason=reason))

    def cancel(self, *, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """End it: steps not begun never will, running steps are ended, finalizers still run. Returns its status."""
        return self._apply(partial(control.cancel_run, actor=actor, reason=reason))

    def retry(
        self, from_: str | int | None = None, *, fresh: bool = False, actor: str | None = None,
        reason: str | None = None,
    ) -> RunStatus:  # fmt: skip
        """Run again all steps that failed or were cancelled, and continue. Returns its status.

        Arguments stay the same (`run.step(...).edit(...)` changes them), succeeded steps stay succeeded, and steps that
        were skipped because of a failure are planned again. A run that succeeded is left as it is. With `from_`, the
        name or number of a step, that step and all steps below it run again instead, including those that succeeded.

        Tasks of steps that had not succeeded go on from their checkpoints; with `fresh`, all run from scratch.
        """
        if from_ is not None:
            return self.step(from_).retry(fresh=fresh, actor=actor, reason=reason)
        return self._apply(retrying(fresh=fresh, actor=actor, reason=reason))

    def fork(
        self, step: str | int, *, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        key: str | None = None, tags: Iterable[str] = (), metadata: Mapping[str, Any] | None = None,
        actor: str | None = None, reason: str | None = None,
    ) -> Run[Result]:  # fmt: skip
        """Start a new run that takes over the work of this one and differs from the given step on. Returns the new run.

        In the new run, the step, all steps below it and all steps that have not succeeded start from the beginning.
        `args` and `kwargs` are new arguments for the step, as for `edit`. This run does not change, and may still be
        running. With `key`, a second fork starts nothing and returns the run that has the key. `tags` and `metadata`
        are added to those of this run.

        Example::

            other = run.fork("train", kwargs={"rate": 0.1}, key="rate-0.1")
        """
        made, is_new = fork(
            self._engine, self.id, step, args=args, kwargs=kwargs, key=key, tags=tags, metadata=metadata, actor=actor,
            reason=reason,
        )  # fmt: skip
        return Run(self._engine, made, is_new=is_new)

    def step(self, step: str | int) -> StepHandle:
        """The step of this name or number, to read, skip, mark, edit or retry."""
        return StepHandle(self._engine, self.id, step)

    def send(self, name: str, value: Any = None, *, key: str | None = None) -> Sent:
        """Send it a message: a step that waits for this name takes it, now or later.

        Each message is taken by one step, and messages of one name are taken in the order in which they were sent.
        `value` is any JSON value, and becomes the result of that step. With `key`, sending the same message again has
        no further effect. Raises RunStateError if the run has ended.

        Example::

            run.send("approved", {"by": "ann"}, key=request_id)
        """
        return send(self._engine, self.id, name, value, key)

    def explain(self, step: str | int | None = None) -> list[Reason]:
        """Why the run, or its step of this name or number, is in its current state."""
        now = self._store.now()
        with self._look() as tx:
            return explaining.explain(tx, self.id, now, step=step)

    def _apply(self, verb: control.Verb) -> RunStatus:
        """Apply a verb of the engine to it. Returns its status afterwards."""
        return RunStatus(say_to(self._engine, verb, self.id).status)

    def _late(self, seconds: float) -> WaitTimeoutError:
        reasons = "; ".join(str(reason) for reason in self.explain()[:3])
        return WaitTimeoutError(f"run {self.id} did not end within {seconds:g} s: {reasons}")

    def _is_final(self) -> bool:
        with self._look() as tx:
            rows = tx.all("run_status", run_id=self.id)
        return RunStatus(rows[0][0]).is_final if rows else self.info().status.is_final

    @property
    def _store(self) -> Any:
        return self._engine.store

    @contextmanager
    def _look(self) -> Iterator[Transaction]:
        with self._engine.reading() as tx:
            yield tx


def _read_result(workflow: str, text: str, payloads: Payloads | None) -> Any:
    found = declared.workflows.get(workflow) or declared.tasks.get(workflow)
    plain = read(text, no_store if payloads is None else payloads.text_of)
    return plain if found is None else found.converters.result_of(plain)
