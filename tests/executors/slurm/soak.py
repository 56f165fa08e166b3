"""A soak of the Slurm executor, on a real cluster: `python -m tests.executors.slurm.soak --minutes N [--postgres]`.

slurmctld and slurmd are killed, and `sbatch` loses calls and answers. An operator ends jobs that the cluster holds for
good, and resumes the node.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from segue.dispatcher.protocol import NAME_PREFIX
from tests.executors.pushing.soak import main
from tests.servers.slurm import SlurmCluster, running_slurm

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


class Cluster:
    """A real cluster whose `sbatch` loses calls and answers."""

    def __init__(self, slurm: SlurmCluster, folder: Path, chance: random.Random) -> None:
        self._slurm = slurm
        self._folder = folder
        self._chance = chance
        self.blows = [self.controller_killed, self.node_killed]
        programs = folder / "programs"
        programs.mkdir()
        (folder / "spoiled").touch()
        program = programs / "sbatch"
        program.write_text(_SPOILED.format(folder=folder, real=shutil.which("sbatch")))
        program.chmod(0o755)

    def environment(self) -> Mapping[str, str]:
        """With the spoiled program."""
        return {"PATH": f"{self._folder}/programs:{os.environ['PATH']}"}

    def controller_killed(self) -> None:
        """SIGKILL, and started again after a while."""
        self._slurm.kill("slurmctld")
        time.sleep(self._chance.uniform(0.2, 4.0))
        self._slurm.start_controller()

    def node_killed(self) -> None:
        """The same."""
        self._slurm.kill("slurmd")
        time.sleep(self._chance.uniform(0.2, 4.0))
        self._slurm.start_node()

    def jobs(self) -> list[str]:
        """Jobs of Segue's that have not ended."""
        lines = self._slurm.ask("squeue", "-h", "-r", "-O", "JobArrayID:|,Name:|").splitlines()
        return [line.split("|")[0] for line in lines if line.split("|")[1].startswith(NAME_PREFIX)]

    def end(self, job: str) -> None:
        """By hand."""
        self._slurm.ask("scancel", job)

    def spoiled(self) -> str:
        """How many calls of `sbatch` were spoiled, and how."""
        lines = (self._folder / "spoiled").read_text().splitlines()
        return ", ".join(f"{kind} {lines.count(kind)}" for kind in ("lost", "unheard", "slow"))

    def operate(self) -> None:
        """End what the cluster holds for good, and resume a node that it gave up."""
        for line in self._slurm.ask("squeue", "-h", "-r", "-t", "PENDING", "-O", "JobArrayID:|,Reason:|").splitlines():
            job, reason = line.split("|")[:2]
            if reason in _HELD:
                self._slurm.ask("scancel", job)
        if self._slurm.ask("sinfo", "-h", "-o", "%T").rstrip("*") in ("down", "drained", "draining", "drain"):
            self._slurm.ask("scontrol", "update", f"NodeName={self._slurm.node}", "State=RESUME")


@contextmanager
def cluster(folder: Path, _url: str, chance: random.Random) -> Iterator[Cluster]:
    """A cluster that ends with the block."""
    with running_slurm() as slurm:
        os.environ["TEST_SLURM_CONF"] = slurm.conf
        yield Cluster(slurm, folder, chance)


if __name__ == "__main__":
    sys.exit(main("slurm", cluster))
