"""A project that was written for celery-dyrygent: what is in that library's README, with other imports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery

from segue import Segue
from segue.compat.dyrygent.tasks import register_workflow_processor
from segue.compat.dyrygent.workflows import Workflow
from segue.executors.celery import install


class Project(NamedTuple):
    app: Celery
    segue: Segue
    folder: Path


def make(environment: Mapping[str, str]) -> Project:
    """The app with its tasks, and its database."""
    broker, folder = environment["COMPAT_BROKER"], Path(environment["COMPAT_FOLDER"])
    app = Celery("dyrygent", broker=f"{broker}/2", backend=f"{broker}/3", set_as_current=False)
    app.conf.broker_connection_retry_on_startup = True
    segue = Segue(environment["COMPAT_DATABASE"])
    install(app, segue)
    register_workflow_processor(app)

    @app.task(name="note", shared=False)
    def note(path: str, word: str) -> str:
        with Path(path).open("a") as file:
            file.write(f"{word}\n")
        return word

    @app.task(name="fail", shared=False)
    def fail(*_: Any) -> None:
        raise ValueError("broken")

    @app.task(name="needs", shared=False)
    def needs(path: str) -> None:
        if not Path(path).exists():
            raise FileNotFoundError(path)

    @app.task(name="wait_forever", shared=False)
    def wait_forever() -> None:
        import time

        time.sleep(60)

    @app.task(name="priority", shared=False, bind=True)
    def priority(self: Any, path: str) -> None:
        Path(path).write_text(str(self.request.delivery_info["priority"]))

    return Project(app, segue, folder)


def connect(folder: Path) -> None:
    """Handlers of signals, as a module of tasks has them."""

    def write(workflow: Workflow, text: str) -> None:
        with (folder / f"signals-{workflow.id}").open("a") as file:
            file.write(f"{text}\n")

    @Workflow.connect("on_state_change")
    def handle_state_change(workflow: Workflow, payload: str) -> None:
        write(workflow, f"state {payload}")

    @Workflow.connect("on_finish")
    def handle_finish(workflow: Workflow, payload: None) -> None:
        users = [node.custom_payload.get("user_id") for node in workflow.nodes.values()]
        write(workflow, f"finish {workflow.custom_payload} {users}")

    @Workflow.connect("after_active_tick")
    def handle_tick(workflow: Workflow, payload: None) -> None:
        write(workflow, f"tick {sum(workflow.finished.values())}")


if os.environ.get("COMPAT_PROJECT") == "dyrygent":
    app = make(os.environ).app
    connect(Path(os.environ["COMPAT_FOLDER"]))
