"""celery-dyrygent's names on Segue: DAGs of Celery tasks, without a processor that ticks.

from segue.compat.dyrygent.tasks import register_workflow_processor
from segue.compat.dyrygent.workflows import Workflow

A workflow becomes a run. Each task is sent when those that it depends on have succeeded, by the process that recorded
the last of them. `workflow.id` is the id of the task "workflow-processor", the last step of the run: its result is
there when everything has ended, as ever.
"""
