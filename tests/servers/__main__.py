"""Sees to it that the servers which the tests start are installed: ``python -m tests.servers``, from `make servers`.

Only programs are installed, and only as root on a system with apt; nothing is started, no system-wide cluster is made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers import postgres

CLUSTER_SETTINGS = Path("/etc/postgresql-common/createcluster.conf")


def ensure_postgres() -> None:
    """Find PostgreSQL or install it; raise `PostgresMissingError` when neither can be done."""
    if os.environ.get(postgres.URL_VARIABLE):
        return
    try:
        postgres.find_programs()
    except postgres.PostgresMissingError:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise
        print("Installing PostgreSQL for the tests ...", flush=True)
        install_postgres()
        postgres.find_programs()


def install_postgres() -> None:
    """Install Debian's server programs without the cluster that Debian would make and start."""
    apt("update")
    apt("install", "postgresql-common")
    lines = CLUSTER_SETTINGS.read_text().splitlines() if CLUSTER_SETTINGS.exists() else []
    kept = [line for line in lines if "create_main_cluster" not in line]
    CLUSTER_SETTINGS.write_text("\n".join([*kept, "create_main_cluster = false", ""]))
    apt("install", "postgresql")


def apt(verb: str, *packages: str) -> None:
    """Run apt-get without questions, and show its output only when it fails."""
    command = ["apt-get", verb, "--yes", "--quiet", *(["--no-install-recommends"] if packages else []), *packages]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` failed:\n{(done.stdout + done.stderr)[-3000:]}")


if __name__ == "__main__":
    try:
        ensure_postgres()
    except RuntimeError as error:
        sys.exit(str(error))
