"""Commands that run as Jobs of a cluster. The environment says which."""

from __future__ import annotations

import os
from typing import Any

from segue import Resources as Resources
from segue import shell as shell
from segue import task
from segue.authoring.compose import Signature
from segue.authoring.container import run_container
from segue.dispatcher.protocol import Pace
from segue.executors.kubernetes import Kubernetes
from segue.executors.kubernetes.watching import Terms

IMAGE = os.environ.get("TEST_KUBERNETES_IMAGE", "busybox:1.36")
QUICK = Pace(
    look_seconds=0.2, settle_seconds=1.0, call_seconds=10.0, gone_seconds=0.5, cancel_seconds=3.0, keep_seconds=3600.0
)

cluster = Kubernetes(
    "k8s", namespace=os.environ.get("TEST_KUBERNETES_NAMESPACE", "jobs"), namespaces=["others"], image=IMAGE,
    kubeconfig=os.environ.get("TEST_KUBERNETES_CONFIG"), pace=QUICK, image_seconds=2.0, lost_seconds=2.0,
    call_seconds=5.0, grace_seconds=2, terms=Terms(watch=20.0, blind=5.0, again=0.2),
)  # fmt: skip


def sh(script: str, **described: Any) -> Signature:
    """A shell script in a container."""
    return words(["/bin/sh", "-c", script], **described)


def words(command: list[str], *, image: str = IMAGE, **described: Any) -> Signature:
    options = {
        name: described.pop(name) for name in ("resources", "push", "retries", "lost_retries", "retry_delay", "timeout")
        if name in described
    }  # fmt: skip
    return run_container.options(executor="k8s", **options).s(image=image, command=command, **described)


@task(executor="k8s")
def double(number: int) -> int:
    return 2 * number
