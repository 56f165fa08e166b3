"""One run, as users hold it: what it is doing, and what is done to it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from segue.authoring import decode_result, registry
from segue.authoring.values import annotations_of
from segue.client.step import StepHandle, fork
from segue.client.waiting import send
from segue.engine import control
from segue.engine.engine import Engine
from segue.engine.patience import Patience
from segue.engine.sending import Sent
from segue.engine.views import explain as explaining
from segue.engine.views import look
from segue.errors import NotFinishedError, RunFailedError, WaitTimeoutError
from segue.model import RunStatus, StepStatus

if TYPE_CHECKING:
    from segue.store.protocol import Transaction

_FIRST_LOOK_SECONDS = 0.002
_LAST_LOOK_SECONDS = 0.1
_DATABASE_AWAY_SECONDS = 30.0
"""How long `Run.wait` puts up with a database that does not answer."""


class Run:
    """One run. Reading an attribute asks the database anew; nothing here is remembered but the id.

    `is_new` is False when the start or fork that returned it found it there, under the same key; None when it was
    looked up.
    """

    def __init__(self, engine: Engine, id_: str, *, is_new: bool | None = None) -> None:
        self._engine = engine
        self.id = id_
        self.is_new = is_new

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    def info(self) -> look.RunInfo:
        """Everything about the run itself, at one moment."""
        with self._look() as tx:
            return look.run_info(self._store, tx, self.id)

    @property
    def status(self) -> RunStatus:
        """Its status now."""
        return self.info().status

    def counts(self) -> dict[StepStatus, int]:
        """How many of its steps have each status."""
        with self._look() as tx:
            return look.count_steps(tx, self.id)

    def steps(
        self, *, status: str | None = None, name: str | None = None, after: int = -1, limit: int = 1000
    ) -> list[look.StepInfo]:
        """Its steps by number, `limit` of them after number `after`."""
        with self._look() as tx:
            return look.list_steps(self._store, tx, self.id, status=status, name=name, after=after, limit=limit)

    def attempts(self, *, step: int | None = None) -> list[look.AttemptInfo]:
        """The attempts that failed, were lost or printed something, with their errors and output."""
        with self._look() as tx:
            return look.list_attempts(self._store, tx, self.id, step=step)

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until it is final, at most `timeout` seconds (WaitTimeoutError); returns itself."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_LOOK_SECONDS
        patience = Patience(_DATABASE_AWAY_SECONDS)
        while not patience.ask(self._is_final, otherwise=False):
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if left <= 0:
                reasons = "; ".join(str(reason) for reason in self.explain()[:3])
                raise WaitTimeoutError(f"run {self.id} did not end within {timeout:g} s: {reasons}")
            time.sleep(left)
            pause = min(pause * 1.5, _LAST_LOOK_SECONDS)
        return self

    def result(self) -> Any:
        """What the workflow returned, typed by its annotation; raises NotFinishedError, or RunFailedError."""
        with self._look() as tx:
            info = look.run_info(self._store, tx, self.id)
            text = look.run_result(tx, self.id) if info.status is RunStatus.SUCCEEDED else None
        if text is not None:
            return decode_result(_result_annotation(info.workflow), text)
        if not info.status.is_final:
            raise NotFinishedError(f"run {self.id} is {info.status}; wait for it first: run.wait(timeout=60)")
        why = f": {info.error.step} failed with {info.error.type}: {info.error.message}" if info.error else ""
        raise RunFailedError(f"run {self.id} of {info.workflow} {info.status}{why}")

    def pause(self, *, stop_running: bool = False, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Let nothing new of it start; returns its status. A final run is left as it is.

        What runs goes on. With `stop_running` it is asked to end, and starts again with the same arguments after
        `resume`; that is not counted as a try. `actor` and `reason` are written down.
        """
        return self._say(partial(control.pause_run, stop_running=stop_running, actor=actor, reason=reason))

    def resume(self, *, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """Go on exactly where it was paused; returns its status. A run that is not paused is left as it is."""
        return self._say(partial(control.resume_run, actor=actor, reason=reason))

    def cancel(self, *, actor: str | None = None, reason: str | None = None) -> RunStatus:
        """End it: what has not begun never will, what runs is ended, finalizers still run. Returns its status."""
        return self._say(partial(control.cancel_run, actor=actor, reason=reason))

    def retry(
        self, from_: str | int | None = None, *, actor: str | None = None, reason: str | None = None
    ) -> RunStatus:
        """Run again whatever failed or was cancelled, then go on; returns its status.

        Arguments are as they were (`run.step(...).edit(...)` gives others), what succeeded stays, and what had been
        skipped over a failure comes back. A run that succeeded is left as it is. With `from_`, the name or number of a
        step, that step and everything below it run again instead, also what succeeded.
        """
        if from_ is not None:
            return self.step(from_).retry(actor=actor, reason=reason)
        from segue.engine.reopening.retry import retry_run  # noqa: PLC0415 - keeps `import segue` quick; few processes retry

        return self._say(partial(retry_run, actor=actor, reason=reason))

    def fork(
        self, step: str | int, *, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        key: str | None = None, tags: Iterable[str] = (), metadata: Mapping[str, Any] | None = None,
        actor: str | None = None, reason: str | None = None,
    ) -> Run:  # fmt: skip
        """A new run that takes over what this one has done, and goes another way from this step on; returns it.

        The step, everything below it and whatever has not succeeded begin anew there; `args` and `kwargs` are other
        arguments for the step, as `edit` takes them. This run is not changed, and may still be under way. With `key`, a
        second fork starts nothing and returns the run that has it. `tags` and `metadata` are added to this run's.

        Example::

            other = run.fork("train", kwargs={"rate": 0.1}, key="rate-0.1")
        """
        made, is_new = fork(
            self._engine, self.id, step, args=args, kwargs=kwargs, key=key, tags=tags, metadata=metadata, actor=actor,
            reason=reason,
        )  # fmt: skip
        return Run(self._engine, made, is_new=is_new)

    def step(self, step: str | int) -> StepHandle:
        """Its step of this name or number, to look at, skip, mark, edit or retry."""
        return StepHandle(self._engine, self.id, step)

    def send(self, name: str, value: Any = None, *, key: str | None = None) -> Sent:
        """Send it a message: the step that waits for this name takes it, or the first one that will.

        Each message is taken by one step, those of one name in the order of sending. `value` is what JSON can hold, and
        becomes that step's result. With `key` the same message may be sent again, and counts once. Raises
        RunStateError when the run is over.

        Example::

            run.send("approved", {"by": "ann"}, key=request_id)
        """
        return send(self._engine, self.id, name, value, key)

    def explain(self, step: str | int | None = None) -> list[explaining.Reason]:
        """Why the run, or its step of this name or number, is where it is."""
        now = self._store.now()
        with self._look() as tx:
            return explaining.explain(self._store, tx, self.id, now, step=step)

    def _say(self, verb: control.Verb) -> RunStatus:
        """Say a verb of the engine to it; returns its status afterwards."""
        return RunStatus(self._engine.act(lambda tx, now: verb(self._store, tx, self.id, now)).status)

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


def _result_annotation(workflow: str) -> Any:
    found = registry.workflows.get(workflow) or registry.tasks.get(workflow)
    return annotations_of(found.fn).get("return", Any) if found is not None else Any
