"""`Workflow`: steps that run one after the other; it can be paused, and resumed where it stopped or failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from celery import Celery

from segue.client.run import Run
from segue.compat.refusing import not_translated
from segue.compat.rhythm import states
from segue.compat.rhythm.plans import START, check, make_run
from segue.compat.rhythm.reading import Reading, document, earlier_task_runs, last_task_run, read, updated_at
from segue.engine.reopening.edit import NewArguments, edit_step
from segue.engine.verbs import say_to
from segue.errors import RunStateError
from segue.executors.celery.codec import dumps
from segue.executors.celery.door import door_of
from segue.model import RunStatus, StepStatus

_INSIDE = frozenset(
    {
        "get_task_instance", "lock_resume", "on_step_failure", "on_step_start", "on_step_success", "unlock_resume",
        "wf_col", "wf_send_task",
    }
)  # fmt: skip


class Workflow:
    """A new workflow of these steps, or with `workflow_id` one that was made before.

    A step is a dict with `name`, `task` (the name of a Celery task), and if wanted `queue`, `priority` (0 to 9; its
    position, from 1, when left out) and `kwargs`. The app must be connected: `segue.executors.celery.install`.
    Raises AssertionError for steps that are none, and WFNotFound. Example::

        wf = Workflow(app, steps=[{"name": "stage", "task": "tasks.stage", "queue": "q1"}], name="batch", app_id="shop")
        wf.start("batch-7")
        Workflow(app, workflow_id=wf.workflow["_id"]).pause()
    """

    RESUME_LOCK_ATTR = "resume_lock"

    def __init__(
        self, celery_app: Celery, workflow_id: str | None = None, steps: Sequence[Mapping[str, Any]] | None = None,
        name: str | None = None, app_id: str | None = None, description: str | None = None,
    ) -> None:  # fmt: skip
        self.app = celery_app
        self._door = door_of(celery_app)
        if workflow_id is None:
            if steps is None:
                raise AssertionError("Either workflow_id or steps should not be None")
            check(steps, name, app_id)
            workflow_id = make_run(self._door, steps, name=str(name), app_id=str(app_id), description=description)
        self._reading = read(self._door, workflow_id)

    @property
    def workflow(self) -> dict[str, Any]:
        """The workflow as a dict, with its id as `_id`, as it was when this object last looked."""
        return document(self._reading)

    def start(self, *args: Any, **kwargs: Any) -> None:
        """Begin: the first task is called with these arguments. Raises RunStateError if it was started before."""
        first, about = self._reading.plans[0], self._reading.run
        if self.refresh().is_begun:
            raise RunStateError(f"Workflow {about.id} was started before. Make a new Workflow, or call resume().")
        reserved = {"workflow_id": about.id, "step": first["name"], "app_id": about.metadata["app_id"]}
        self._edit(self._reading.steps[0].step, args, {**kwargs, **reserved})
        self._run.send(START, key=START)

    def pause(self, refresh: bool = True) -> dict[str, Any]:
        """Stop the task that runs, and begin nothing more. Says whether that was possible, and which step was stopped.

        Between two steps it pauses, too; then `revoked_step` is None.
        """
        reading = self.refresh() if refresh else self._reading
        pending = reading.pending()
        if pending is None or pending[1] == states.FAILURE or not reading.is_begun:
            return {"paused": False}
        step = reading.steps[pending[0]]
        is_under_way = step.status in (StepStatus.SENT, StepStatus.RUNNING)
        self._run.pause(stop_running=True)
        plan = reading.plans[pending[0]]
        revoked = {"task_id": step.handle, "task": plan["task"], "name": plan["name"]} if is_under_way else None
        return {"paused": True, "revoked_step": revoked}

    def resume(self, force: bool = False, args: Sequence[Any] | None = None, refresh: bool = True) -> dict[str, Any]:
        """Call the task again that failed or was stopped, with the same arguments, and go on behind it.

        With `force` also one that runs: it is stopped first. `args` are for a step that never began, and replace what
        it would get.
        """
        reading = self.refresh() if refresh else self._reading
        pending = reading.pending()
        if pending is None or not (force or pending[1] in (states.FAILURE, states.REVOKED)):
            return {"resumed": False}
        number, _ = pending
        step, plan = reading.steps[number], reading.plans[number]
        if not reading.is_begun:
            if args is None:
                raise AssertionError("no args are provided and there is no last run task")
            self.start(*args)
        else:
            if args is not None and not step.attempt:
                self._edit(step.step, args, {})
            self._continue(reading, step.status)
        return {"resumed": True, "restarted_step": {"name": plan["name"], "task": plan["task"]}}

    def _continue(self, reading: Reading, status: StepStatus) -> None:
        if reading.run.status.is_final:
            self._run.retry()
            return
        if reading.run.status != RunStatus.PAUSED and status in (StepStatus.SENT, StepStatus.RUNNING):
            self._run.pause(stop_running=True)
        self._run.resume()

    def refresh(self) -> Reading:
        """Look at the database again."""
        self._reading = read(self._door, self._reading.run.id)
        return self._reading

    def update(self) -> None:
        """Nothing is kept here that would have to be stored."""

    def is_resume_locked(self) -> bool:
        """False: two that resume at once restart a step once."""
        return False

    def get_workflow_status(self) -> str:
        """PENDING, STARTED, REVOKED, FAILURE or SUCCESS, now."""
        return self.refresh().status()

    def get_step_status(self, step: Mapping[str, Any]) -> str:
        """The state of a step, given as a dict with its name, in Celery's words."""
        names = [plan["name"] for plan in self.refresh().plans]
        return self._reading.status_of(names.index(step["name"]))

    def get_pending_step(self) -> tuple[int, str] | None:
        """The number and state of the first step that has not succeeded; None if all have."""
        return self.refresh().pending()

    def get_step(self, step_name: str) -> dict[str, Any] | None:
        """The step of this name."""
        return next((step for step in self.workflow["steps"] if step["name"] == step_name), None)

    def get_next_step_idx(self, step_name: str) -> int | None:
        """The number of the step behind the one of this name; None if there is none."""
        names = [plan["name"] for plan in self._reading.plans]
        following = names.index(step_name) + 1 if step_name in names else len(names)
        return following if following < len(names) else None

    def get_last_run_task_instance(self, step: Mapping[str, Any]) -> dict[str, Any] | None:
        """The last time that a step's task was called: its id, state, arguments and result. None if it never was."""
        names = [plan["name"] for plan in self._reading.plans]
        return last_task_run(self.app, self._door, self._reading, names.index(step["name"]))

    def get_embellished_workflow(
        self, last_task_run: bool = True, prev_task_runs: bool = False, refresh: bool = True
    ) -> dict[str, Any]:
        """The workflow with the states of its steps, for showing it."""
        reading = self.refresh() if refresh else self._reading
        pending = reading.pending()
        steps = []
        for number, plan in enumerate(reading.plans):
            shown = {"name": plan["name"], "task": plan["task"], "status": reading.status_of(number)}
            if last_task_run:
                shown["last_task_run"] = self.get_last_run_task_instance(plan)
            if prev_task_runs:
                shown["prev_task_runs"] = earlier_task_runs(self._door, reading, number)
            steps.append(shown)
        about = reading.run
        return {
            "id": about.id, "name": about.workflow, "app_id": about.metadata.get("app_id"),
            "description": about.metadata.get("description"), "created_at": about.created_at,
            "updated_at": updated_at(reading), "status": reading.status(),
            "steps_done": len(steps) if pending is None else pending[0], "total_steps": len(steps), "steps": steps,
            self.RESUME_LOCK_ATTR: None,
        }  # fmt: skip

    def __getattr__(self, name: str) -> NoReturn:
        if name in _INSIDE:
            not_translated(
                f"Workflow.{name}",
                "Segue sends the next step and keeps the states itself; use start, pause, resume and "
                "get_embellished_workflow.",
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def _run(self) -> Run:
        return Run(self._door.engine, self._reading.run.id)

    def _edit(self, step: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        new = NewArguments(
            [dumps(value, f"argument {number}") for number, value in enumerate(args)],
            {name: dumps(value, f"argument {name}") for name, value in kwargs.items()},
        )

        def edit(act: Any, run_id: str) -> Any:
            return edit_step(act, run_id, step=step, new=new, parameters=lambda _: None)

        say_to(self._door.engine, edit, self._reading.run.id)
