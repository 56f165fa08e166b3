"""What the soak of the executor of AWS Batch runs: the executor, and the tasks of all soaks."""

from __future__ import annotations

import os
import sys

from segue.executors.aws import AWSBatch
from tests.executors.pushing.soak_tasks import *  # noqa: F403
from tests.executors.pushing.soak_tasks import LEDGER, PACE
from tests.servers.batch import ROLE
from tests.servers.batch_processes import REGION

AWSBatch(
    "far", queue="jobs", image="busybox", execution_role=ROLE, region=REGION, pace=PACE, memory="8GiB",
    endpoint_url=os.environ.get("TEST_AWS_URL"), log_seconds=0.5, python=sys.executable, modules=[__name__],
    database_secret=os.environ.get("TEST_AWS_SECRET"), misconfigured_seconds=None,
    container={"environment": [{"name": "TEST_SOAK_FOLDER", "value": str(LEDGER.parent)}]},
)  # fmt: skip
