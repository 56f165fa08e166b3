"""An executor for dispatchers that are killed. The environment says where its platform is."""

from __future__ import annotations

import os

from segue.executors.aws import AWSBatch
from tests.executors.aws.conftest import QUICK
from tests.servers.batch import REGION, ROLE

AWSBatch(
    "batch", queue="jobs", image="busybox", execution_role=ROLE, region=REGION, cpu=0.25, memory="512MiB",
    endpoint_url=os.environ["TEST_AWS_URL"], pace=QUICK, log_seconds=0.1, arrays=False,
)  # fmt: skip
