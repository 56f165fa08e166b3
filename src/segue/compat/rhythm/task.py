"""`WorkflowTask`: the base class of tasks that are steps of workflows."""

from __future__ import annotations

from typing import Any

from celery import Task

from segue.compat.rhythm import states
from segue.compat.rhythm.plans import FOLLOWED
from segue.compat.rhythm.workflow import Workflow
from segue.given import shown


class WorkflowTask(Task):
    """A task that may be a step: it gets `workflow_id`, `step` and `app_id` as keyword arguments, so it takes
    `**kwargs`. The first item of what it returns is the argument of the next step.

    Example::

        @app.task(base=WorkflowTask, bind=True)
        def archive(self, batch_id, **kwargs):
            self.update_progress({"done": 1, "total": 2})
            return batch_id, {"path": "..."}
    """

    @property
    def id(self) -> str | None:
        """The id of the task that runs."""
        found: str | None = self.request.id
        return found

    @property
    def workflow_id(self) -> str | None:
        """The id of the workflow that it is a step of; None if it is none."""
        found: str | None = self._argument("workflow_id")
        return found

    @property
    def step(self) -> str | None:
        """The name of the step."""
        found: str | None = self._argument("step")
        return found

    @property
    def workflow(self) -> Workflow | None:
        """The workflow that it is a step of, as it is now; None if it is none."""
        return None if self.workflow_id is None else Workflow(self.app, self.workflow_id)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it. Raises TypeError if a step follows and has no argument then."""
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        found = self.run(*args, **kwargs)
        if self.request.get(FOLLOWED) and not (isinstance(found, (list, tuple)) and found):
            raise TypeError(
                f"{self.name} returned {shown(found)}, and the next step takes the first item of that. "
                "Return a list or tuple."
            )
        return found

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """For projects, which call `super().before_start(...)`."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """For projects. The next step was sent before this is called."""

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """For projects."""

    def update_progress(self, progress_obj: Any) -> None:
        """Show this as the result of the task while it runs. Without effect when the task is called directly."""
        if not self.request.called_directly:
            self.update_state(state=states.STARTED, meta=progress_obj)

    def _argument(self, name: str) -> Any:
        return (self.request.kwargs or {}).get(name)
