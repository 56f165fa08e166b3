"""Sees to it that the servers which the tests start are installed: ``python -m tests.servers``, from `make servers`.

Only programs are installed, and only as root on a system with apt; nothing is started, no system-wide cluster is made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers import chromium, grid_engine, nginx, pgbouncer, postgres, rabbitmq, redis, slurm

POLICY = Path("/usr/sbin/policy-rc.d")
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


def ensure_pgbouncer() -> None:
    """Find PgBouncer or install it; without root its tests are left out."""
    with suppress(pgbouncer.PgBouncerMissingError):
        ensure(pgbouncer.find_program, "PgBouncer", "pgbouncer")


def ensure_redis() -> None:
    """Find Redis or install it; raise `RedisMissingError` when neither can be done."""
    ensure(redis.find_program, "Redis", "redis-server")


def ensure_rabbitmq() -> None:
    """Find RabbitMQ or install it; without root its tests are left out."""
    try:
        ensure(rabbitmq.find_program, "RabbitMQ", "rabbitmq-server")
    except RuntimeError as error:
        print(f"The tests on RabbitMQ will be skipped. {error}", flush=True)


def ensure_slurm() -> None:
    """Find Slurm or install it; without root its tests are left out."""
    try:
        ensure(slurm.find_program, "Slurm", "slurmctld", "slurmd", "slurm-client", "munge")
        packages = ("slurmdbd", "slurm-wlm-mysql-plugin", "mariadb-server")
        ensure(slurm.find_accounts, "Slurm's accounts", *packages)
    except RuntimeError as error:
        print(f"The tests on Slurm will be skipped. {error}", flush=True)


def ensure_grid_engine() -> None:
    """Find Grid Engine or install it; without root its tests are left out."""
    try:
        ensure(grid_engine.find_programs, "Grid Engine", *grid_engine.PACKAGES)
    except RuntimeError as error:
        print(f"The tests on Grid Engine will be skipped. {error}", flush=True)


def ensure_nginx() -> None:
    """Find nginx or install it; without root its test is left out."""
    with suppress(nginx.NginxMissingError):
        ensure(nginx.find_program, "nginx", "nginx-light")


def ensure_chromium() -> None:
    """Find Chromium or install it; raise `ChromiumMissingError` when neither can be done."""
    ensure(chromium.find_program, "Chromium", *chromium.PACKAGES)


def ensure(find: Callable[[], object], name: str, *packages: str) -> None:
    """Find a program or install its packages, with no service that Debian would start; raises what `find` raises."""
    try:
        find()
    except RuntimeError:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise
        print(f"Installing {name} for the tests ...", flush=True)
        apt("update")
        with kept_from_starting():
            apt("install", *packages)
        find()


@contextmanager
def kept_from_starting() -> Iterator[None]:
    """While this lasts, Debian's packages start no services."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


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
        ensure_pgbouncer()
        ensure_redis()
        ensure_rabbitmq()
        ensure_slurm()
        ensure_grid_engine()
        ensure_nginx()
        ensure_chromium()
    except RuntimeError as error:
        sys.exit(str(error))
