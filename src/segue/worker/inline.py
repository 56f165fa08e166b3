"""Executes one run in the calling thread, for `segue.run`."""

from __future__ import annotations

from segue.authoring import declared
from segue.authoring.declared import declared_limits
from segue.engine.engine import Engine
from segue.worker.options import WorkerOptions
from segue.worker.pool.inline import InlinePool
from segue.worker.worker import Worker


def work_run(engine: Engine, run_id: str) -> None:
    """Execute the steps of a run until it is final. Other workers may take some of them."""
    worker_of(engine, run_id).run()


def worker_of(engine: Engine, run_id: str) -> Worker:
    """The worker that does this. Its `stop`, which another thread may call, leaves the rest to other workers."""
    options = WorkerOptions(concurrency=1, pool="inline", run_id=run_id)
    pool = InlinePool(store=engine.store, payloads=engine.payloads)
    return Worker(engine, pool, tasks=sorted(declared.tasks), options=options, limits=declared_limits())
