"""One run at a server, with the verbs of `Run`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import json

from segue.authoring import declared
from segue.client.records import from_record
from segue.client.views import AttemptInfo, CheckpointInfo, EventInfo, Reason, RunInfo, RunProgress, Sent, StepInfo
from segue.errors import WaitTimeoutError
from segue.model import RunStatus, StepStatus
from segue.remote.line import Line

FIRST_LOOK_SECONDS = 0.05
LAST_LOOK_SECONDS = 1.0


class _Shown:
    """What can be read of a run."""

    def __init__(self, line: Line, id_: str, *, is_new: bool | None = None) -> None:
        self._line = line
        self.id = id_
        self.is_new = is_new

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} at {self._line.url}>"

    def info(self) -> RunInfo:
        """All fields of the run, read at one moment."""
        return from_record(RunInfo, self._line.get("runs", self.id))

    @property
    def status(self) -> RunStatus:
        """Its status now."""
        return self.info().status

    def counts(self) -> dict[StepStatus, int]:
        """The number of its steps in each status."""
        found = self._line.get("runs", self.id)["counts"]
        return {StepStatus(status): count for status, count in found.items()}

    def steps(
        self, *, status: str | None = None, name: str | None = None, after: int = -1, limit: int = 1000
    ) -> list[StepInfo]:
        """Its steps in order of their numbers: at most `limit`, with numbers greater than `after`."""
        found = self._line.pages(
            "runs", self.id, "steps", cursor="after", limit=limit, after=after, status=status, name=name
        )  # fmt: skip
        return [from_record(StepInfo, each) for each in found]

    def attempts(self, *, step: str | int | None = None) -> list[AttemptInfo]:
        """The attempts that failed, were lost or printed something."""
        place = () if step is None else ("steps", step)
        return [from_record(AttemptInfo, each) for each in self._line.get("runs", self.id, *place, "attempts")]

    def events(self, *, limit: int = 50) -> list[EventInfo]:
        """What happened to it, the newest first."""
        found = self._line.pages("runs", self.id, "events", cursor="before", limit=limit)
        return [from_record(EventInfo, each) for each in found]

    def explain(self, step: str | int | None = None) -> list[Reason]:
        """Why the run, or its step of this name or number, is in its current state."""
        found = self._line.get("runs", self.id, "explain", step=step)["reasons"]
        return [from_record(Reason, each) for each in found]

    def progress(self) -> RunProgress:
        """How far it is."""
        found = self._line.get("runs", self.id, "progress")
        running = [from_record(StepInfo, each) for each in found.pop("running")]
        return from_record(RunProgress, found | {"running": running})

    def follow(self) -> Iterator[RunInfo]:
        """The run now, and again after each change of it or of the number of its steps, until it has ended."""
        while True:
            with self._line.lines("runs", self.id, "follow") as lines:
                for line in lines:
                    info = from_record(RunInfo, json.decode(line)["run"])
                    yield info
                    if info.status.is_final:
                        return
            time.sleep(LAST_LOOK_SECONDS)  # the server ended the stream

    def result(self) -> Any:
        """The return value of the workflow, converted by its annotation if this process has imported it.

        Raises NotFinishedError or RunFailedError.
        """
        plain = self._line.get("runs", self.id, "result")["result"]
        found: Any = None
        if declared.workflows or declared.tasks:
            workflow = self.info().workflow
            found = declared.workflows.get(workflow) or declared.tasks.get(workflow)
        return plain if found is None else found.converters.result_of(plain)


class RemoteRun(_Shown):
    """One run at a server. Each attribute is asked for when it is used; the object itself keeps only the id.

    Example::

        run = Remote(url, token=token).get("4104e24d")
        run.retry(reason="the shop answers again")
    """

    def wait(self, timeout: float | None = None) -> RemoteRun:
        """Wait until it is final, at most `timeout` seconds (then WaitTimeoutError). Returns itself."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_LOOK_SECONDS
        while not self.status.is_final:
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if left <= 0:
                why = "; ".join(str(reason) for reason in self.explain()[:3])
                raise WaitTimeoutError(f"run {self.id} did not end within {timeout:g} s: {why}")
            time.sleep(left)
            pause = min(pause * 1.5, LAST_LOOK_SECONDS)
        return self

    def pause(self, *, stop_running: bool = False, reason: str | None = None) -> RunStatus:
        """Start none of its steps from now on. Returns its status."""
        return self._say("pause", stop_running=stop_running, reason=reason)

    def resume(self, *, reason: str | None = None) -> RunStatus:
        """Continue where it was paused. Returns its status."""
        return self._say("resume", reason=reason)

    def cancel(self, *, reason: str | None = None) -> RunStatus:
        """End it. Returns its status."""
        return self._say("cancel", reason=reason)

    def retry(self, from_: str | int | None = None, *, fresh: bool = False, reason: str | None = None) -> RunStatus:
        """Run again what failed; with `from_`, that step and all below it. Returns its status."""
        step = None if from_ is None else str(from_)
        return self._say("retry", step=step, fresh=fresh, reason=reason, may_repeat=False)

    def fork(
        self, step: str | int, *, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        key: str | None = None, tags: Sequence[str] = (), metadata: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> RemoteRun:  # fmt: skip
        """Start a new run that takes over the work of this one and differs from the given step on."""
        made = self._line.do(
            "POST", "runs", self.id, "fork", step=str(step), args=None if args is None else list(args),
            kwargs=dict(kwargs or {}), key=key, tags=list(tags), metadata=dict(metadata or {}), reason=reason,
            may_repeat=key is not None,
        )  # fmt: skip
        return RemoteRun(self._line, made["id"], is_new=made["is_new"])

    def send(self, name: str, value: Any = None, *, key: str | None = None) -> Sent:
        """Send it a message: a step that waits for this name takes it, now or later."""
        body = {"name": name, "value": value, "key": key}
        return from_record(Sent, self._line.do("POST", "runs", self.id, "send", may_repeat=key is not None, **body))

    def annotate(
        self, *, tags: Sequence[str] = (), without: Sequence[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Add tags, remove those in `without`, and set keys of its metadata; None removes a key."""
        body = {"tags": list(tags), "without": list(without), "metadata": dict(metadata or {})}
        self._line.do("PATCH", "runs", self.id, may_repeat=True, **body)

    def step(self, step: str | int) -> RemoteStep:
        """The step of this name or number, to read, skip, mark, edit or retry."""
        return RemoteStep(self._line, self.id, step)

    def _say(self, verb: str, *, may_repeat: bool = True, **body: Any) -> RunStatus:
        found = self._line.do("POST", "runs", self.id, verb, may_repeat=may_repeat, **body)
        return RunStatus(found["status"])


class RemoteStep:
    """One step of one run at a server."""

    def __init__(self, line: Line, run_id: str, step: str | int) -> None:
        self._line = line
        self.run_id = run_id
        self.step = step

    def __repr__(self) -> str:
        return f"<RemoteStep {self.step!r} of {self.run_id}>"

    def info(self) -> StepInfo:
        """All fields of the step, with its arguments and its result."""
        return from_record(StepInfo, self._line.get(*self._place))

    def checkpoints(self) -> list[CheckpointInfo]:
        """What its task has recorded inside it, in order."""
        return [from_record(CheckpointInfo, each) for each in self._line.get(*self._place, "checkpoints")]

    def output(self, *, attempt: int | None = None) -> str:
        """The end of what an attempt has printed; without `attempt`, the latest."""
        found: str = self._line.get(*self._place, "output", attempt=attempt)["output"]
        return found

    def retry(self, *, fresh: bool = False, reason: str | None = None) -> RunStatus:
        """Run it and all steps below it again. Returns the status of the run."""
        return self._say("retry", fresh=fresh, reason=reason)

    def skip(self, *, reason: str | None = None) -> RunStatus:
        """Make it skipped. Returns the status of the run."""
        return self._say("skip", reason=reason, may_repeat=True)

    def mark(self, result: Any = None, *, reason: str | None = None) -> RunStatus:
        """Make it succeeded with this result. Returns the status of the run."""
        return self._say("mark", result=result, reason=reason, may_repeat=True)

    def edit(self, /, *args: Any, **kwargs: Any) -> RunStatus:
        """Change its arguments. Returns the status of the run."""
        return self._say("edit", args=list(args), kwargs=kwargs, may_repeat=True)

    @property
    def _place(self) -> tuple[object, ...]:
        return ("runs", self.run_id, "steps", self.step)

    def _say(self, verb: str, *, may_repeat: bool = False, **body: Any) -> RunStatus:
        return RunStatus(self._line.do("POST", *self._place, verb, may_repeat=may_repeat, **body)["status"])
