"""Words are counted in containers of a Kubernetes cluster; a task of Segue's own adds the counts.

See README.md. WORDS_NAMESPACE and WORDS_IMAGE name another namespace and another image with a shell.
"""

from __future__ import annotations

import os

from segue import Resources, container, task, workflow
from segue.executors.kubernetes import Kubernetes

IMAGE = os.environ.get("WORDS_IMAGE", "busybox:1.36")

Kubernetes("k8s", namespace=os.environ.get("WORDS_NAMESPACE", "default"))


@task
def total(counts: list[int]) -> dict[str, int]:
    return {"texts": len(counts), "words": sum(counts)}


@workflow
def count(texts: list[str]) -> dict[str, int]:
    counts = [
        container(
            IMAGE,
            ["/bin/sh", "-c", 'printf "%s" "$1" | wc -w', "count", "{text}"],
            text=text,
            executor="k8s",
            resources=Resources(cpu=1, memory="64MiB"),
            timeout=60,
            retries=2,
            result="last_line",
        )
        for text in texts
    ]
    return total(counts)
