"""What it costs to follow thousands of Jobs: ``python -m benchmarks.kubernetes_watch [--jobs 10000]``.

The API is the stand-in of the tests, in a process of its own; its pods wait for a machine that never comes. CPU time is
that of this process: of the client alone, with all its threads.
"""

from __future__ import annotations

import argparse
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from lightkube import Client, KubeConfig
from lightkube.resources.batch_v1 import Job as LightkubeJob
from lightkube.resources.core_v1 import Pod as LightkubePod

from segue.dispatcher.protocol import Push, Submission
from segue.executors.kubernetes import Kubernetes
from segue.executors.kubernetes.watching import Terms
from segue.model import Job
from tests.servers.kubernetes import running_kubernetes

BATCH = 200  # pushes in one look, as a dispatcher asks
COMMAND = json.dumps([[], {"image": "busybox:1.36", "command": ["sleep", "60"], "env": {"A": "1"}}])


class Clock:
    """Seconds of a piece of work: on the wall, and of this process's CPU."""

    wall = 0.0
    cpu = 0.0


@contextmanager
def measured() -> Iterator[Clock]:
    clock, wall, cpu = Clock(), time.perf_counter(), time.process_time()
    yield clock
    clock.wall, clock.cpu = time.perf_counter() - wall, time.process_time() - cpu


def main(jobs: int) -> None:
    with running_kubernetes(history=10 * jobs) as cluster:
        cluster.fault(hold=True)
        executor = Kubernetes("k8s", kubeconfig=cluster.kubeconfig, call_seconds=120.0, terms=Terms(first=300.0))
        pushes: list[Push] = []
        with measured() as submitting:
            for number in range(jobs):
                attempt = ("r", number, 1)
                job = Job("r", number, 1, "n", "segue.container", COMMAND, None, {}, None)
                push = Push(str(uuid.uuid4()), attempt)
                pushes.append(push._replace(external_id=executor.submit(Submission(push, job, None))))
        say("submit, one after the other", submitting, jobs)
        with measured() as listing:
            list(executor.look(pushes[:1]))
        say("list Jobs and pods anew, and watch", listing, jobs)
        with measured() as looking:
            seen = [each for at in range(0, jobs, BATCH) for each in executor.look(pushes[at : at + BATCH])]
        assert len(seen) == jobs
        say("look at all, from what the watches know", looking, jobs)
        with measured() as idle:
            time.sleep(10)
        say("10 seconds without news", idle, jobs)
        executor.close()
        with measured() as typed, Client(config=KubeConfig.from_file(cluster.kubeconfig)) as client:
            assert len(list(client.list(LightkubeJob, chunk_size=500))) == jobs
            assert len(list(client.list(LightkubePod, chunk_size=500))) == jobs
        say("the same lists with lightkube's own models", typed, jobs)


def say(what: str, clock: Clock, jobs: int) -> None:
    each = clock.cpu / jobs * 1e6
    print(f"{what:45} {clock.wall:8.2f} s   {clock.cpu:6.2f} s of CPU   {each:7.1f} µs each", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    main(parser.parse_args().jobs)
