"""The command line of a soak; it ends with 1 if anything was wrong."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from segue import Segue
from tests.executors.soaking.blows import Blows, RabbitBroker, RedisBroker
from tests.executors.soaking.soak import Project, Soak
from tests.executors.tallying import Place
from tests.servers.postgres import PostgresServer, create_database
from tests.servers.redis import RedisServer

LEASE_SECONDS = 3.0


def main(
    program: str, document: str, queue: str, make: Callable[[Place], Project], fences: Sequence[str] = ("always",)
) -> int:  # fmt: skip
    """Soak what the command line asks for. `queue` is the broker's; `make` connects a project to a place."""
    parser = argparse.ArgumentParser(prog=program, description=document)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--rabbitmq", action="store_true", help="with RabbitMQ as the broker, which is restarted full")
    parser.add_argument("--fence", choices=fences, default=fences[0])
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--keep", type=Path, help="keep the ledger, the logs and a SQLite database in this folder")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-soak-")))
        folder.mkdir(exist_ok=True)
        chance = random.Random(options.seed)
        server = PostgresServer.create() if options.postgres else None
        url = f"sqlite:///{folder}/segue.db"
        if server is not None:
            stack.callback(server.remove)
            url = create_database(server.url)
        with Segue(url) as segue:
            segue.upgrade()
        broker: RabbitBroker | RedisBroker = RabbitBroker(queue) if options.rabbitmq else RedisBroker()
        stack.callback(broker.server.remove if isinstance(broker, RabbitBroker) else broker.server.stop)
        broker.server.start()
        backend = RedisServer()
        stack.callback(backend.stop)
        backend.start()
        place = Place(broker.url, f"{backend.url}/0", url, folder, LEASE_SECONDS, options.fence)
        project = make(place)
        stack.callback(project.segue.close)
        began = time.monotonic()
        soak = Soak(project, place, Blows(place, chance, broker, backend, server), chance)
        soak.last(options.minutes * 60)
        broker_name = "RabbitMQ" if options.rabbitmq else "Redis"
        kind = f"{url.partition(':')[0]}, {broker_name}, fence {options.fence}, seed {options.seed}"
        words = [f"{kind}, {time.monotonic() - began:.0f} s", *soak.report()]
    sys.stdout.write("\n".join(words) + "\n")
    return 1 if soak.wrong else 0
