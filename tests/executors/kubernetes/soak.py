"""A soak of the Kubernetes executor, on the stand-in: `python -m tests.executors.kubernetes.soak --minutes N`.

The API loses answers to creations, asks for patience, fails, forbids lists and has no quota; a machine is silent.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.executors.pushing.soak import main
from tests.servers.kubernetes import KubernetesStandIn, running_kubernetes

NAMESPACE = "jobs"


class Cluster:
    """The stand-in, which spoils calls by and by."""

    def __init__(self, standin: KubernetesStandIn, chance: random.Random) -> None:
        self._standin = standin
        self._chance = chance
        self._spoiled = {"lost": 0, "refused": 0}
        self.blows = [self.api_silent, self.no_lists, self.no_quota, self.machine_silent]

    def environment(self) -> Mapping[str, str]:
        """Nothing more."""
        return {}

    def api_silent(self) -> None:
        """Every call fails for a while."""
        self._for_a_while({"refuse": 10_000, "code": 503}, {"refuse": 0})

    def no_lists(self) -> None:
        """The dispatcher may not list or watch."""
        self._for_a_while({"no_lists": True}, {"no_lists": False})

    def no_quota(self) -> None:
        """No Job may be made."""
        self._for_a_while({"jobs": 0}, {"jobs": None})

    def machine_silent(self) -> None:
        """Its processes run, and it says nothing."""
        self._for_a_while({"node_is_away": True}, {"node_is_away": False})

    def jobs(self) -> list[str]:
        """Jobs that have not ended."""
        return [job["metadata"]["name"] for job in self._standin.jobs(NAMESPACE) if not _has_ended(job)]

    def end(self, job: str) -> None:
        """Its Job is deleted by hand."""
        self._standin.delete(f"apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job}")

    def spoiled(self) -> str:
        """How many calls were spoiled, and how."""
        return ", ".join(f"{kind} {count}" for kind, count in self._spoiled.items())

    def operate(self) -> None:
        """Spoil some of the next calls."""
        kind = self._chance.choice(["lost", "refused"])
        count = self._chance.randrange(1, 4)
        self._spoiled[kind] += count
        code = self._chance.choice([429, 500, 503, 504])
        self._standin.fault(**({"lose": count} if kind == "lost" else {"refuse": count, "code": code, "only": ""}))

    def _for_a_while(self, begins: dict[str, object], ends: dict[str, object]) -> None:
        self._standin.fault(**begins)
        time.sleep(self._chance.uniform(0.5, 5.0))
        self._standin.fault(**ends)


def _has_ended(job: dict[str, object]) -> bool:
    status: object = job.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions or ())


@contextmanager
def cluster(_folder: Path, url: str, chance: random.Random) -> Iterator[Cluster]:
    """A stand-in that ends with the block."""
    with running_kubernetes() as standin:
        standin.make_secret("segue", namespace=NAMESPACE, url=url)
        os.environ["TEST_KUBERNETES_CONFIG"] = standin.kubeconfig
        yield Cluster(standin, chance)


if __name__ == "__main__":
    sys.exit(main("kubernetes", cluster))
