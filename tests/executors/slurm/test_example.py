"""The example project runs as its README says, on a real cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.servers.slurm import SlurmCluster

FOLDER = Path(__file__).parents[3] / "examples" / "slurm_scores"


def test_the_example(cluster: SlurmCluster, tmp_path: Path) -> None:
    variables = {
        **os.environ, "SCORES_SHARED": str(tmp_path), "SEGUE_DATABASE_URL": f"sqlite:///{tmp_path}/scores.db",
        "SLURM_CONF": cluster.conf,
    }  # fmt: skip

    def begin(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "segue", *words], env=variables, cwd=FOLDER, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    assert begin("db", "upgrade").wait() == 0
    dev = begin("dev", "-A", "cluster")
    start = begin("start", "-A", "cluster", "scores", '["GATTACA", "GCGC", "TTAA"]', "--wait")
    try:
        printed, _ = start.communicate(timeout=150)
    finally:
        os.killpg(dev.pid, signal.SIGTERM)
        dev.communicate()
    assert start.returncode == 0, printed
    assert printed.split()[-1] == "4"
    assert (tmp_path / "count").read_text() == "3 sequences\n"
