"""`AWSMonitor`: counts in CloudWatch. It needs boto3."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from segue.compat.taskflow.monitoring import Ended, MonitorDestination
from segue.errors import ConfigError


class AWSMonitor(MonitorDestination):
    """Adds 1 to a metric in the namespace `taskflow`: once in all, and once by the name of the task or workflow.

    The metrics are scheduler_heartbeat, task_retry, task_failure, task_success, workflow_failure, workflow_success.
    """

    def __init__(self, metric_prefix: str = "", metric_namespace: str = "taskflow", client: Any = None) -> None:
        self._prefix = metric_prefix
        self._namespace = metric_namespace
        self._client = client

    def heartbeat_scheduler(self, session: None) -> None:
        """Count it."""
        self._count("scheduler_heartbeat")

    def task_retry(self, session: None, task_instance: Ended) -> None:
        """Count it."""
        self._count("task_retry", task_name=task_instance.task_name)

    def task_failed(self, session: None, task_instance: Ended) -> None:
        """Count it."""
        self._count("task_failure", task_name=task_instance.task_name)

    def task_success(self, session: None, task_instance: Ended) -> None:
        """Count it."""
        self._count("task_success", task_name=task_instance.task_name)

    def workflow_failed(self, session: None, workflow_instance: Ended) -> None:
        """Count it."""
        self._count("workflow_failure", workflow_name=workflow_instance.workflow_name)

    def workflow_success(self, session: None, workflow_instance: Ended) -> None:
        """Count it."""
        self._count("workflow_success", workflow_name=workflow_instance.workflow_name)

    def _count(self, metric: str, **names: str | None) -> None:
        name = f"{self._prefix}{metric}"
        data: list[dict[str, Any]] = [{"MetricName": name, "Value": 1, "Unit": "Count"}]
        for dimension, value in names.items():
            data.append({**data[0], "Dimensions": [{"Name": dimension, "Value": value}]})
        self._cloudwatch().put_metric_data(Namespace=self._namespace, MetricData=data)

    def _cloudwatch(self) -> Any:
        if self._client is None:
            try:
                boto3 = import_module("boto3")  # optional, and few projects use this monitor
            except ImportError as error:
                raise ConfigError("AWSMonitor needs boto3. Run: pip install boto3") from error
            self._client = boto3.client("cloudwatch")
        return self._client
