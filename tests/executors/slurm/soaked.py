"""What the soak of the Slurm executor runs: the executor, and the tasks of all soaks."""

from __future__ import annotations

import os

from segue.executors.slurm import Slurm
from segue.executors.slurm.executor import ENVIRONMENT
from tests.executors.pushing.soak_tasks import *  # noqa: F403
from tests.executors.pushing.soak_tasks import LEDGER, PACE

Slurm(
    "far", folder=f"{LEDGER.parent}/jobs", modules=[__name__], slurm_conf=os.environ.get("TEST_SLURM_CONF"), pace=PACE,
    command_seconds=3.0, launch_seconds=40.0, environment=[*ENVIRONMENT, "TEST_SOAK_FOLDER"],
)  # fmt: skip
