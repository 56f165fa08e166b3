"""Rhythm's names on Segue: sequences of Celery tasks that can be paused and resumed, without MongoDB.

from segue.compat.rhythm import Workflow, WorkflowTask

A workflow becomes a run when it is made; its first step waits until `start` is called. What `Workflow` says is read
from the run's rows, so it is the same in every process.
"""

from segue.compat.rhythm.errors import NonRetryableException, WFNotFound
from segue.compat.rhythm.plans import duplicates
from segue.compat.rhythm.task import WorkflowTask
from segue.compat.rhythm.workflow import Workflow

__all__ = ["NonRetryableException", "WFNotFound", "Workflow", "WorkflowTask", "duplicates"]
