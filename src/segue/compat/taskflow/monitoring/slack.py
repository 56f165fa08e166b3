"""`SlackMonitor`: a message for each workflow that failed, and each task of none."""

from __future__ import annotations

import os
import urllib.request

import msgspec

from segue.compat.taskflow.monitoring import Ended, MonitorDestination
from segue.errors import ConfigError

SEND_SECONDS = 10.0


class SlackMonitor(MonitorDestination):
    """Posts failures to a webhook of Slack, whose URL is `SLACK_WEBHOOK_URL` when left out. Raises ConfigError.

    A process that dies loses its messages. A subscription does not: `segue subscriptions add`.
    """

    def __init__(self, slack_url: str | None = None) -> None:
        url = slack_url or os.environ.get("SLACK_WEBHOOK_URL", "")
        if not url.startswith(("https://", "http://")):
            raise ConfigError("SlackMonitor has no webhook. Give its URL, or set SLACK_WEBHOOK_URL to it.")
        self._url = url

    def task_failed(self, session: None, task_instance: Ended) -> None:
        """Post a failure of a task that belongs to no workflow."""
        if task_instance.workflow_name is None:
            self._post(f"Task {task_instance.task_name} failed", task_instance)

    def workflow_failed(self, session: None, workflow_instance: Ended) -> None:
        """Post a failure of a workflow."""
        self._post(f"Workflow {workflow_instance.workflow_name} failed", workflow_instance)

    def _post(self, title: str, ended: Ended) -> None:
        body = msgspec.json.encode({"text": f"{title} ({ended.id}): {ended.error or 'no error is known'}"})
        request = urllib.request.Request(self._url, data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=SEND_SECONDS):
            pass
