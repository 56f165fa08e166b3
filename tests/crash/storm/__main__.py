"""``python -m tests.crash.storm [--minutes 20] [--postgres]``; exits with 1 when anything is wrong."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from segue import Segue
from tests.crash import crash_tasks
from tests.crash.ledger import Ledger
from tests.crash.storm.disturbances import set_oddly
from tests.crash.storm.storm import Storm
from tests.crash.worker_processes import WorkerProcesses
from tests.servers.postgres import PostgresServer, create_database


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.storm", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own, with odd settings")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--keep", type=Path, help="keep the logs in this folder")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-storm-")))
        folder.mkdir(exist_ok=True)
        server = PostgresServer.create() if options.postgres else None
        url = f"sqlite:///{folder}/segue.db"
        if server is not None:
            stack.callback(server.remove)
            url = create_database(server.url)
            set_oddly(url)
        os.environ[crash_tasks.LEDGER] = str(folder / "ledger")
        began = time.monotonic()
        segue, crew = stack.enter_context(Segue(url)), stack.enter_context(WorkerProcesses(url, folder))
        storm = Storm(segue, Ledger(folder / "ledger"), crew, url, server, random.Random(options.seed))
        storm.rage(options.minutes * 60)
        words = [f"{url.partition(':')[0]}, seed {options.seed}, {time.monotonic() - began:.0f} s", *storm.report()]
    sys.stdout.write("\n".join(words) + "\n")
    return 1 if storm.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
