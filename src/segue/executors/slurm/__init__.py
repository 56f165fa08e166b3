"""Slurm as an executor: steps become jobs of a cluster, submitted with `sbatch` and followed with `squeue`.

Example::

    from segue import Resources, task
    from segue.executors.slurm import Slurm

    Slurm("hpc", folder="/shared/segue", modules=["shop.tasks"], partition="short")

    @task(executor="hpc", resources=Resources(cpu=4, memory="8GiB"), timeout=3600)
    def fold(sequence: str) -> dict: ...

    executor    `Slurm`: what the dispatcher calls
    script      the script of a job, or of an array of jobs
    sbatch      the words of `sbatch`
    names       how pushes are named: jobs, ids, folders
    asking      what the cluster is asked and told
    meaning     what their answers mean; pure
"""

from segue.executors.slurm.executor import PACE, Slurm

__all__ = ["PACE", "Slurm"]
