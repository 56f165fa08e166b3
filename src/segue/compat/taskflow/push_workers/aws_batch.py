"""`AWSBatchPushWorker`: the defaults of tasks whose push destination is "aws_batch"."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from segue.compat.refusing import not_translated
from segue.compat.taskflow.push_workers import PushWorker

_INSIDE = frozenset({"push_task_instances", "sync_task_instance_states", "get_job_name", "get_log_url", "batch_client"})


class AWSBatchPushWorker(PushWorker):
    """The job queue and job definition of tasks that name none in their `params`.

    The executor "aws_batch" submits the jobs. A module of the project makes it, and the scheduler's process imports
    that. Example::

        taskflow.add_push_worker(AWSBatchPushWorker(taskflow, default_job_queue="etl"))
        Extract(name="extract", push_destination="aws_batch", params={"job_definition": "extract:7"})
    """

    push_type: ClassVar[str] = "aws_batch"
    supports_state_sync: ClassVar[bool] = True

    def __init__(
        self, taskflow: Any, default_job_queue: str | None = None, default_job_definition: str | None = None
    ) -> None:  # fmt: skip
        super().__init__(taskflow)
        self.default_job_queue = default_job_queue
        self.default_job_definition = default_job_definition
        self.defaults = {"job_queue": default_job_queue, "job_definition": default_job_definition}

    def __getattr__(self, name: str) -> NoReturn:
        if name in _INSIDE:
            not_translated(f"AWSBatchPushWorker.{name}", "The dispatcher does this: segue dispatcher -A module.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
