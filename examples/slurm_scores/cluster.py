"""Scores of sequences: tasks and a command on a Slurm cluster, and a task of a worker."""

from __future__ import annotations

import os
from pathlib import Path

from segue import Resources, shell, task, workflow
from segue.executors.slurm import Slurm

SHARED = Path(os.environ.get("SCORES_SHARED", "/shared/scores"))

Slurm(
    "hpc",
    folder=str(SHARED / "jobs"),
    modules=["cluster"],
    environment=["PATH", "HOME", "USER", "LANG", "SCORES_SHARED"],
    slurm_conf=os.environ.get("SLURM_CONF"),
)


@task(executor="hpc", resources=Resources(cpu=1, memory="200MB"), timeout=600, retries=1)
def score(sequence: str) -> int:
    """How many of its bases are G or C. Each sequence is a job; all of them are one array."""
    if not set(sequence) <= set("ACGT"):
        raise ValueError(f"{sequence!r} is no sequence of bases")
    return sum(sequence.count(base) for base in "GC")


@task
def best(scores: list[int]) -> int:
    """Runs on a worker of Segue's, which needs no cluster."""
    return max(scores)


@workflow
def scores(sequences: list[str]) -> int:
    """The best of all, after a command on the cluster has said how many there are."""
    counted = shell("echo {count} sequences > {path}", count=len(sequences), path=str(SHARED / "count"), executor="hpc")
    return best.options(after=counted)(score.map(sequences))
