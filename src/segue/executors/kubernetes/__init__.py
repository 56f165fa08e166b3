"""Kubernetes as an executor: steps become Jobs, made and watched through the API of a cluster.

Example::

    from segue import Resources, container
    from segue.executors.kubernetes import Kubernetes

    Kubernetes("k8s", namespace="jobs", service_account="segue-job")
    container("ghcr.io/acme/blast:2.15", ["blastp", "-query", "{query}"], query="q.fa", executor="k8s",
              resources=Resources(cpu=2, memory="4GiB"))

    executor    `Kubernetes`: what the dispatcher calls
    manifest    the Job of an attempt; pure
    watching    copies of the Jobs and pods of a namespace, kept up to date
    waiting     how long attempts are waited for
    output      the end of a log, and results
    meaning     what the cluster's words mean; pure
    client      calls to the API; the only module that imports lightkube
    objects     what is read of the API's objects
"""

from segue.executors.kubernetes.executor import Kubernetes

__all__ = ["Kubernetes"]
