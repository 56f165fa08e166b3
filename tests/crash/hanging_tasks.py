"""Tasks that go on until they are ended, for workers whose database does not answer."""

from __future__ import annotations

import asyncio
import time

from segue import progress, task
from tests.crash.crash_tasks import recorded

TIMEOUT_SECONDS = 3.0


def _stay() -> None:
    with recorded():
        while True:
            progress(0)
            time.sleep(0.02)


@task(timeout=TIMEOUT_SECONDS)
def overstay() -> None:
    _stay()


@task
def stay() -> None:
    _stay()


@task(timeout=TIMEOUT_SECONDS)
async def overstay_async() -> None:
    with recorded():
        await asyncio.sleep(600)


@task
async def stay_async() -> None:
    with recorded():
        await asyncio.sleep(600)
