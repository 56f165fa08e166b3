"""Taskflow's names on Segue: tasks, workflows with dependencies, schedules, workers that pull, executors to push to.

from segue.compat.taskflow import Taskflow, Task, Workflow, cli

A `Taskflow` registers its tasks and workflows with Segue, so `segue worker -A main` knows them like any other; `cli` is
the command line of the project's own `main.py`. The database is SQLite or PostgreSQL, and its tables are Segue's.
"""

from segue.compat.taskflow.command import cli
from segue.compat.taskflow.definitions import Task, Workflow
from segue.compat.taskflow.errors import AlreadyQueuedError
from segue.compat.taskflow.instances import TaskInstance, WorkflowInstance
from segue.compat.taskflow.processes import Pusher, Scheduler, Worker
from segue.compat.taskflow.project import Taskflow

__all__ = [
    "AlreadyQueuedError",
    "Pusher",
    "Scheduler",
    "Task",
    "TaskInstance",
    "Taskflow",
    "Worker",
    "Workflow",
    "WorkflowInstance",
    "cli",
]
