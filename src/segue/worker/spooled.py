"""Runs one attempt whose job lies in a spool, in a process that needs no database: `segue run-step`.

Promises: of several processes with one spool only the first runs the task. Whatever the task does, an outcome is left,
unless this process itself is killed; then the platform says how it ended.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path

from segue.attempt import spool
from segue.attempt.outcomes import released
from segue.errors import ConfigError
from segue.logs.attempts import AttemptLog
from segue.model import WORKER_LOST, ErrorInfo, Job, Outcome, Verdict
from segue.worker.launch import process_pool
from segue.worker.live_output import LiveOutput
from segue.worker.pool import Pool

GRACE_SECONDS = 10.0
_LOOK_SECONDS = 1.0


def run_spooled(folder: Path, *, grace_seconds: float = GRACE_SECONDS) -> int:
    """Run the attempt in this folder, and return the exit code: 0 if an outcome is left, `NOT_MINE` if it is another's.

    A SIGTERM ends the attempt within `grace_seconds`; it counts as lost, unless the task ends by itself in that time.
    Raises ConfigError if the job cannot be read.
    """
    try:
        spooled = spool.read_job(folder)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The job in {folder} cannot be read: {error}. Is this folder on a file system that this machine shares?"
        ) from error
    if not spool.begin(folder, _who()):
        sys.stderr.write(f"this attempt was begun by {spool.begun_by(folder)}, and is not run twice\n")
        return spool.NOT_MINE
    log = AttemptLog()
    log.began([spooled.job])
    outcome = _run(spooled.job, spooled.modules, grace_seconds)
    log.ended([outcome])
    spool.write_outcome(folder, outcome)
    return 0


def _run(job: Job, modules: tuple[str, ...], grace_seconds: float) -> Outcome:
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    pool = process_pool(1, modules=modules)
    try:
        pool.start()
        pool.submit([job])
        live = LiveOutput(pool)
        outcome = _await(pool, asked, live)
        if outcome is None:
            outcome = next(iter(pool.stop(grace_seconds)), released(job))
        live.finish(outcome.output)
        return as_lost(outcome) if outcome.verdict in (Verdict.RELEASED, Verdict.CANCELLED) else outcome
    except Exception as error:  # noqa: BLE001 - its module cannot be imported here, or the machine is full
        info = ErrorInfo(type(error).__name__, f"this machine could not run it: {error}")
        return Outcome(job.run_id, job.step, job.attempt, Verdict.FAILED, error=info)
    finally:
        pool.kill()


def _await(pool: Pool, asked: threading.Event, live: LiveOutput) -> Outcome | None:
    while not asked.is_set():
        for news in pool.collect(_LOOK_SECONDS):
            if isinstance(news, Outcome):
                return news
        live.pump()
    return None


def as_lost(outcome: Outcome) -> Outcome:
    """The same as a loss: a signal that Segue did not send has ended it."""
    outcome.verdict = Verdict.LOST
    outcome.error = ErrorInfo(WORKER_LOST, f"its process on {socket.gethostname()} was asked to end from outside")
    return outcome


def _who() -> str:
    """The platform's own id of this process, if it says one; otherwise the machine and the process."""
    array, place = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if array and place:
        return f"{array}_{place}"
    job = os.environ.get("SEGUE_JOB_ID") or os.environ.get("SLURM_JOB_ID")
    return job or f"{socket.gethostname()}:{os.getpid()}"
