"""What the soak of the Kubernetes executor runs: the executor, and the tasks of all soaks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from segue.executors.kubernetes import Kubernetes
from segue.executors.kubernetes.watching import Terms
from tests.executors.pushing.soak_tasks import *  # noqa: F403
from tests.executors.pushing.soak_tasks import LEDGER, PACE

Kubernetes(
    "far", namespace="jobs", image="busybox:1.36", kubeconfig=os.environ.get("TEST_KUBERNETES_CONFIG"), pace=PACE,
    call_seconds=3.0, grace_seconds=2, image_seconds=60.0, lost_seconds=10.0, python=sys.executable,
    terms=Terms(watch=5.0, blind=10.0, again=0.2), modules=[__name__], database_secret="segue/url",
    pod={"containers": [{
        "name": "main", "workingDir": str(Path.cwd()),
        "env": [{"name": "TEST_SOAK_FOLDER", "value": str(LEDGER.parent)}],
    }]},
)  # fmt: skip
