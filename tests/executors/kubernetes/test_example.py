"""The example, run as its README says, and the rights that its rbac.yaml gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.executors.kubernetes.conftest import Bench
from tests.servers.kubernetes import KubernetesStandIn, running_kubernetes

FOLDER = Path(__file__).parents[3] / "examples" / "kubernetes_words"


def test_the_example_counts_words(standin: KubernetesStandIn, tmp_path: Path) -> None:
    environment = {
        **os.environ, "KUBECONFIG": standin.kubeconfig, "SEGUE_DATABASE_URL": f"sqlite:///{tmp_path}/words.db",
        "SEGUE_APP": "words", "PYTHONPATH": str(FOLDER),
    }  # fmt: skip
    segue = [sys.executable, "-m", "segue"]
    subprocess.run([*segue, "db", "upgrade"], env=environment, check=True, capture_output=True)
    works = subprocess.Popen([*segue, "dev", "--pool", "thread"], env=environment, stderr=subprocess.DEVNULL)
    try:
        texts = '["to be", "or not to be", "that is the question"]'
        done = subprocess.run(
            [*segue, "start", "count", texts, "--wait", "--timeout", "60"], env=environment, capture_output=True,
            text=True,
        )  # fmt: skip
    finally:
        works.terminate()
        works.wait()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"texts": 3, "words": 10}


@pytest.mark.proof
def test_the_role_allows_what_is_called_and_no_more(make_bench: Callable[[str], Bench]) -> None:
    with running_kubernetes() as cluster:
        bench = make_bench(cluster.kubeconfig)
        cluster.fault(pods=0)
        run = bench.start(bench.tasks.sh("echo seen; sleep 300"))
        bench.until(lambda: run.steps()[0].handle)
        push = bench.push_of(run)
        assert bench.executor.find([push]) == {push.id: push.external_id}
        bench.executor._cluster.warning("jobs", push.name)
        bench.executor._cluster.job("jobs", push.name)
        cluster.fault(pods=None)
        bench.until(lambda: bench.is_running(run))
        bench.until(lambda: bench.executor.read_output(push) == "seen\n")
        bench.executor.cancel([push], hard=True)
        bench.until(lambda: run.steps()[0].losses == 1)
        bench.executor.clean([push])
        run.cancel()
        bench.finish(run)
        called = cluster.called()
    allowed = {
        f"{verb} {resource}"
        for document in yaml.safe_load_all((FOLDER / "rbac.yaml").read_text()) if document["kind"] == "Role"
        for rule in document["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }  # fmt: skip
    assert called == allowed
