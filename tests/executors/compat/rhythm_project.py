"""A project that was written for Rhythm: what is in that library's README, with other imports, and without MongoDB."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery

from segue import Segue
from segue.compat.rhythm import WorkflowTask
from segue.compat.rhythm.progress import Progress
from segue.executors.celery import install


class Project(NamedTuple):
    app: Celery
    segue: Segue
    folder: Path


def make(environment: Mapping[str, str]) -> Project:
    """The app with its tasks, and its database."""
    broker, folder = environment["COMPAT_BROKER"], Path(environment["COMPAT_FOLDER"])
    app = Celery("rhythm", broker=f"{broker}/4", backend=f"{broker}/5", set_as_current=False)
    app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1, task_track_started=True)
    segue = Segue(environment["COMPAT_DATABASE"])
    install(app, segue)

    def note(batch_id: str, line: str) -> None:
        with (folder / f"notes-{batch_id}").open("a") as file:
            file.write(f"{line}\n")

    class Noting(WorkflowTask):
        """A base class as projects write them: it takes part in what happens to a task."""

        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            super().before_start(task_id, args, kwargs)
            if self.workflow is not None:
                note(args[0], f"before {self.step} of {self.workflow.workflow['name']}")

        def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            super().on_success(retval, task_id, args, kwargs)
            note(args[0], f"success {kwargs['step']}")

    @app.task(base=Noting, bind=True, name="tasks.inspect", shared=False)
    def inspect(self: Any, batch_id: str, **kwargs: Any) -> Any:
        note(batch_id, f"inspect {kwargs['app_id']} {kwargs.get('colour')} {self.request.delivery_info['priority']}")
        self.update_progress({"done": 2873, "total": 100000})
        return batch_id, {"return_obj": "foo"}

    @app.task(base=WorkflowTask, bind=True, name="tasks.archive", shared=False)
    def archive(self: Any, batch_id: str, **kwargs: Any) -> Any:
        note(batch_id, f"archive {self.request.delivery_info['priority']}")
        if (folder / f"broken-{batch_id}").exists():
            raise OSError("the archive is full")
        for _ in Progress(self, name="parts", total=1000, units="parts", throttle_time=0)(range(1000)):
            if not (folder / f"slow-{batch_id}").exists():
                break
            time.sleep(0.05)
        return [batch_id]

    @app.task(base=WorkflowTask, bind=True, name="tasks.stage", shared=False)
    def stage(self: Any, batch_id: str, **kwargs: Any) -> Any:
        note(batch_id, f"stage {self.request.delivery_info['priority']}")
        return (batch_id, "staged")

    @app.task(base=WorkflowTask, bind=True, name="tasks.nothing", shared=False)
    def nothing(self: Any, batch_id: str, **kwargs: Any) -> None:
        return None

    return Project(app, segue, folder)


if os.environ.get("COMPAT_PROJECT") == "rhythm":
    app = make(os.environ).app
