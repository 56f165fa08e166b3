"""Batch systems as executors: Grid Engine, PBS and LSF, each by four of its programs.

Example::

    from segue import Resources, task
    from segue.executors.commands import GridEngine

    GridEngine("sge", folder="/shared/segue", modules=["shop.tasks"], queue="short.q")

    @task(executor="sge", resources=Resources(cpu=4, memory="8GiB"), timeout=3600)
    def fold(sequence: str) -> dict: ...

    executor     what the dispatcher calls; the same for all systems
    system       what differs between them: the words of the programs, and what their answers mean
    grid_engine  Grid Engine; tested with 8.1.9
    pbs, lsf     PBS Pro and OpenPBS, and LSF; tested with recorded answers only
    script       the script of a job
"""

from segue.executors.commands.grid_engine import GridEngine
from segue.executors.commands.lsf import LSF
from segue.executors.commands.pbs import PBS

__all__ = ["LSF", "PBS", "GridEngine"]
