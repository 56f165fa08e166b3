"""What a recorded call costs in DBOS: the same loop as `benchmarks.checkpoints`, as the steps of one workflow.

    .venv-peers/bin/python -m benchmarks.checkpoints_beside_dbos [--records 1000] [--url postgresql://...]

Without --url, DBOS gets SQLite in a new file.
"""

from __future__ import annotations

import argparse
import tempfile
import time

from dbos import DBOS


@DBOS.step()
def nothing(number: int) -> int:
    """The function whose result is recorded."""
    return number


@DBOS.workflow()
def record_many(count: int) -> float:
    """Milliseconds for each of `count` recorded results."""
    began = time.perf_counter()
    for number in range(count):
        nothing(number)
    return (time.perf_counter() - began) * 1000 / count


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--url")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{folder}/dbos.db"
        DBOS(config={"name": "checkpoints", "system_database_url": url, "log_level": "ERROR"})
        DBOS.launch()
        record_many(10)
        print(f"{url.partition(':')[0]:10} DBOS     {record_many(given.records):.3f} ms recorded")
        DBOS.destroy()


if __name__ == "__main__":
    main()
