"""A project that was written for Taskflow, with other imports. `python -m` of it is its `main.py`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from segue.compat.taskflow import Task, Taskflow, Workflow, cli
from segue.compat.taskflow.monitoring import Ended, Monitor, MonitorDestination
from segue.compat.taskflow.tasks.bash_task import BashTask

FOLDER = Path(os.environ.get("COMPAT_FOLDER", "."))


def note(name: str, line: object) -> None:
    with (FOLDER / name).open("a") as file:
        file.write(f"{line}\n")


class Noting(Task):
    def execute(self, task_instance: Any) -> Any:
        note("noted", f"{self.name} begins")
        if task_instance.attempts <= self.params.get("failures", 0):
            raise OSError("not yet")
        time.sleep(self.params.get("seconds", 0))
        note("noted", f"{self.name} ends")
        return object()  # is not kept


class Telling(Task):
    def execute(self, task_instance: Any) -> None:
        told = {
            name: getattr(task_instance, name)
            for name in (
                "id", "task_name", "workflow_instance_id", "params", "attempts", "max_attempts", "priority",
                "scheduled", "unique", "timeout", "retry_delay", "push", "status",
            )
        }  # fmt: skip
        assert task_instance.run_at.tzinfo is None
        assert task_instance.started_at is not None
        note("told", told)


class Slow(Task):
    def execute(self, task_instance: Any) -> None:
        note("slow", "begun")
        time.sleep(60)

    def on_kill(self) -> None:
        note("slow", "killed")
        raise OSError("nothing to clean")  # is logged


class Destination(MonitorDestination):
    def task_retry(self, session: None, task_instance: Ended) -> None:
        note("monitored", f"retry {task_instance.task_name}")

    def task_failed(self, session: None, task_instance: Ended) -> None:
        raise OSError("one destination is away")

    def task_success(self, session: None, task_instance: Ended) -> None:
        note("monitored", f"success {task_instance.task_name} of {task_instance.workflow_name}")

    def workflow_success(self, session: None, workflow_instance: Ended) -> None:
        note("monitored", f"success {workflow_instance.workflow_name}")

    def heartbeat_scheduler(self, session: None) -> None:
        note("beats", "beat")


etl = Workflow(name="etl", title="Extract and load", schedule="0 4 * * *")
extract = Noting(workflow=etl, name="extract", retries=1, retry_delay=0, params={"failures": 1})
side = Noting(workflow=etl, name="side", params={"seconds": 0.5})
load = Telling(workflow=etl, name="load")
load.depends_on(extract)
load.depends_on(side)

narrow = Workflow(name="narrow", concurrency=1)
Noting(workflow=narrow, name="narrow_step", params={"seconds": 0.3})

is_worker = "COMPAT_FOLDER" in os.environ  # not the process of the tests, whose observers are for other tests
taskflow = Taskflow(monitoring=Monitor(destinations=[Destination(), Destination()]) if is_worker else None)
taskflow.add_workflows([etl, narrow])
taskflow.add_tasks(
    [
        Telling(name="tell", default_priority="low", timeout=77),
        Telling(name="tell_scheduled", schedule="30 4 * * *", active=True),
        Noting(name="one_at_a_time", concurrency=1, params={"seconds": 0.3}),
        Noting(name="fails", params={"failures": 9}, retries=1, retry_delay=1),
        Slow(name="slow"),
        Telling(name="prompt", sla=0.2),
        BashTask(name="count", params={
            "command": "pwd >&2; wc -l; echo done", "input_file": "$COMPAT_FOLDER/in put",
            "output_file": "$COMPAT_FOLDER/o'ut",
        }),
        BashTask(name="broken_bash", params={"command": "set -u; [[ a == a ]] && echo bash; exit 3"}),
        BashTask(name="long_bash", params={"command": "echo $$ > $COMPAT_FOLDER/bash_pid; sleep 60 & wait"}),
    ]
)  # fmt: skip

if __name__ == "__main__":
    cli(taskflow)
