"""AWS Batch and ECS for the tests: moto in a process of its own, whose containers are processes of this machine.

There is no such server of Amazon's. `batch_processes` says what of it is real.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.servers.batch_processes import REGION
from tests.servers.folders import temporary_folder
from tests.servers.guard import Guarded
from tests.servers.ports import free_port

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
ROLE = "arn:aws:iam::123456789012:role/segue"
SUBNET = "subnet-0123456789abcdef0"
START_SECONDS = 30


class AWS:
    """The server, with what its clients need: two queues, a cluster, a bucket."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="segue-aws-", dir=temporary_folder()))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._clients: dict[str, Any] = {}
        self._log = self.folder / "moto.out"
        root = Path(__file__).parents[2]
        command = ["env", "-C", str(root), sys.executable, "-m", "tests.servers.batch_processes", str(port)]
        self._process = Guarded(command, folder=self.folder, log=self._log, stop_signal=signal.SIGTERM)

    def start(self) -> None:
        """Wait for it, and make what its clients need."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError):
                self.calls()
                break
            if time.monotonic() > deadline or not self._process.is_running:
                raise RuntimeError(f"moto does not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)
        self.bucket = f"b{uuid.uuid4().hex[:12]}"
        self.client("s3").create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.client("ecs").create_cluster(clusterName="jobs")

    def client(self, service: str) -> Any:
        """A client of Amazon's own library."""
        import boto3

        if service not in self._clients:
            self._clients[service] = boto3.client(
                service, endpoint_url=self.url, region_name=REGION, aws_access_key_id="test",
                aws_secret_access_key="test",
            )  # fmt: skip
        return self._clients[service]

    def fault(self, action: str, **what: Any) -> None:
        """Let calls of this action fail; see `faulty_wire`."""
        request = urllib.request.Request(f"{self.url}/_faults", data=json.dumps({"action": action, **what}).encode())
        urllib.request.urlopen(request, timeout=10).close()

    def forget_faults(self) -> None:
        """Let all calls succeed."""
        urllib.request.urlopen(f"{self.url}/_no_faults", timeout=10).close()

    def calls(self) -> dict[str, int]:
        """How often each action was called."""
        with urllib.request.urlopen(f"{self.url}/_calls", timeout=10) as answer:
            return dict(json.load(answer))

    def remove(self) -> None:
        """End it."""
        self._process.stop()


@contextmanager
def running_aws() -> Iterator[AWS]:
    """A server with a queue and a cluster; boto3 finds its keys in the environment."""
    before = {name: os.environ.get(name) for name in KEYS}
    os.environ |= KEYS
    aws = AWS()
    try:
        aws.start()
        yield aws
    finally:
        aws.remove()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
