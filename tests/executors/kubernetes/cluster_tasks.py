"""Commands that run as Jobs of a cluster. The environment says which."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from segue import Resources as Resources
from segue import container, progress, task
from segue import shell as shell
from segue.authoring.compose import Signature
from segue.dispatcher.protocol import Pace
from segue.executors.kubernetes import Kubernetes
from segue.executors.kubernetes.watching import Terms

REAL = "TEST_CLUSTER_KUBECONFIG"
"""The variable that `make test-cluster` sets: the tests of a real cluster run there."""

IMAGE = os.environ.get("TEST_KUBERNETES_IMAGE", "busybox:1.36")
QUICK = Pace(
    look_seconds=0.2, settle_seconds=1.0, call_seconds=10.0, gone_seconds=0.5, cancel_seconds=3.0, keep_seconds=3600.0
)

NAMESPACE = os.environ.get("TEST_KUBERNETES_NAMESPACE", "jobs")
PATIENCE: dict[str, Any] = (
    {"image_seconds": 60.0} if REAL in os.environ
    else {"image_seconds": 2.0, "lost_seconds": 2.0, "terms": Terms(watch=2.0, blind=3.0, again=0.2),
          "namespaces": ["others"], "python": sys.executable, "modules": [__name__], "database_secret": "segue/url",
          "pod": {"containers": [{"name": "main", "workingDir": str(Path.cwd())}]}}
)  # fmt: skip

cluster = Kubernetes(
    "k8s", namespace=NAMESPACE, image=IMAGE,
    kubeconfig=os.environ.get("TEST_KUBERNETES_CONFIG"), pace=QUICK, call_seconds=5.0, grace_seconds=2, **PATIENCE,
)  # fmt: skip


def sh(script: str, **options: Any) -> Signature:
    """A shell script in a container."""
    return words(["/bin/sh", "-c", script], **options)


def words(command: list[str], *, image: str = IMAGE, **options: Any) -> Signature:
    return container.s(image, command, executor="k8s", **options)


@task(executor="k8s")
def double(number: int) -> int:
    sys.stdout.write(f"doubling {number}\n")
    return 2 * number


@task(executor="k8s", retries=1, retry_delay=0.1)
def broken() -> None:
    raise ValueError("of the task")


@task(executor="k8s")
def long() -> None:
    progress(0.5)
    time.sleep(300)
