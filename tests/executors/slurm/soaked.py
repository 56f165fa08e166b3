"""The processes of the soak, its spoiled `sbatch`, and the operator of its cluster."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.servers.slurm import SlurmCluster

# Of a hundred calls, some are lost before they arrive, and some have no answer though they arrived.
_SPOILED = """\
#!/bin/sh
chance=$(od -An -N2 -tu2 /dev/urandom)
case $((chance % 100)) in
[0-4]) echo lost >> {folder}/spoiled
    echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1;;
[5-9]) echo unheard >> {folder}/spoiled
    {real} "$@" > /dev/null; exit 1;;
1[0-1]) echo slow >> {folder}/spoiled
    sleep 4; exec {real} "$@";;
esac
exec {real} "$@"
"""
_HELD = ("launch failed requeued held", "JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue")
RESTARTS_AT_ONCE = 3


class Process:
    """One process with a log."""

    def __init__(self, words: list[str], environment: dict[str, str], log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                words, env=environment, stdout=file, stderr=file, start_new_session=True
            )  # fmt: skip

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL it and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Cluster:
    """A real cluster whose `sbatch` loses calls and answers."""

    def __init__(self, slurm: SlurmCluster, folder: Path, tasks: str) -> None:
        self._slurm = slurm
        self._folder = folder
        self._tasks = tasks
        programs = folder / "programs"
        programs.mkdir()
        (folder / "ledger").touch()
        (folder / "spoiled").touch()
        program = programs / "sbatch"
        program.write_text(_SPOILED.format(folder=folder, real=shutil.which("sbatch")))
        program.chmod(0o755)
        self._environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def start(self, name: str, database: str) -> Process:
        """Start a dispatcher or a worker."""
        kind = name.partition("-")[0]
        more = ["--pool", "thread", "--lease-seconds", "5s"] if kind == "worker" else []
        words = [sys.executable, "-m", "segue", kind, "-A", self._tasks, "--database", database, *more]
        return Process(words, self._environment, self._folder / f"{name}.log")

    def restart(self, part: str, seconds: float) -> None:
        """SIGKILL a part of the cluster, and start it after these seconds."""
        self._slurm.kill(part)
        time.sleep(seconds)
        if part == "slurmctld":
            self._slurm.start_controller()
        else:
            self._slurm.start_node()

    def ask(self, *words: str) -> str:
        """What one of Slurm's programs prints."""
        return self._slurm.ask(*words)

    def spoiled(self) -> str:
        """How many calls of `sbatch` were spoiled, and how."""
        lines = (self._folder / "spoiled").read_text().splitlines()
        return ", ".join(f"{kind} {lines.count(kind)}" for kind in ("lost", "unheard", "slow"))

    def operate(self) -> None:
        """End what the cluster holds for good, and resume a node that it gave up."""
        for line in self.ask("squeue", "-h", "-r", "-t", "PENDING", "-O", "JobArrayID:|,Reason:|").splitlines():
            job, reason = line.split("|")[:2]
            if reason in _HELD:
                self.ask("scancel", job)
        if self.ask("sinfo", "-h", "-o", "%T").rstrip("*") in ("down", "drained", "draining", "drain"):
            self.ask("scontrol", "update", f"NodeName={self._slurm.node}", "State=RESUME")
