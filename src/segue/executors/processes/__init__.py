"""Processes of this machine as an executor: for developing pushed steps, and for tests, without a cluster.

Example::

    from segue import container, shell, task
    from segue.executors.processes import Processes

    Processes("near", folder="/tmp/segue-jobs", modules=["shop.tasks"])

    @task(executor="near")
    def fold(sequence: str) -> dict: ...

    executor    `Processes`: what the dispatcher calls
    job         one job: its folder, its script, its processes
"""

from segue.executors.processes.executor import Processes

__all__ = ["Processes"]
