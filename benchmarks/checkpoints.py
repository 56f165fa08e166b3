"""What a checkpoint costs: one task records many results, inline and in a child process, on both databases.

    python -m benchmarks.checkpoints [--records 1000] [--url postgresql://...]

Prints milliseconds for each record. The first attempt records them, with one commit each; the second one reads them all
and calls nothing. Without --url, SQLite in a new file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from segue import Segue, checkpoint, current, task
from segue.worker.launch import make_worker
from segue.worker.options import WorkerOptions


def nothing(number: int) -> int:
    """The function whose result is recorded."""
    return number


@task(retries=1, retry_delay=0)
def record_many(count: int, path: str) -> int:
    """Record `count` results; the first attempt then fails. How long each attempt took goes to the file."""
    began = time.perf_counter()
    for number in range(count):
        checkpoint(f"record {number}", nothing, number)
    seconds = time.perf_counter() - began
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{seconds * 1000 / count}\n")
    if current().failures == 0:
        raise OSError("to be repeated")
    return count


def measure(url: str, pool: str, count: int, folder: Path) -> tuple[float, float]:
    """Milliseconds for each record: written, and read again by the next attempt."""
    told = folder / f"{pool}.txt"
    with Segue(url) as segue:
        segue.upgrade()
        run = segue.start(record_many, count, str(told))
        options = WorkerOptions(pool=pool, concurrency=1, run_id=run.id)
        make_worker(
            segue.engine, options, modules=[__name__ if __name__ != "__main__" else "benchmarks.checkpoints"]
        ).run()
        assert run.result() == count
    written, read = map(float, told.read_text(encoding="utf-8").split())
    return written, read


def main() -> None:
    """Measure, and print a line for each pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--url")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{folder}/checkpoints.db"
        for pool in ("inline", "process"):
            written, read = measure(url, pool, given.records, Path(folder))
            print(f"{url.partition(':')[0]:10} {pool:8} {written:.3f} ms recorded, {read:.4f} ms read again")


if __name__ == "__main__":
    from benchmarks.checkpoints import main as run_main  # so that the task has one name in all processes

    run_main()
