"""``python -m tests.executors.celery.soak [--minutes 30] [--postgres] [--rabbitmq]``; exits with 1 on a wrong."""

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
from tests.executors.celery.soak.blows import Blows, RabbitBroker, RedisBroker
from tests.executors.celery.soak.soak import Soak
from tests.executors.celery.tallied import make_app
from tests.executors.celery.tallying import Place
from tests.servers.postgres import PostgresServer, create_database
from tests.servers.redis import RedisServer

LEASE_SECONDS = 3.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.executors.celery.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--rabbitmq", action="store_true", help="with RabbitMQ as the broker, which is restarted full")
    parser.add_argument("--fence", choices=("suspect", "always"), default="suspect")
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
        broker: RabbitBroker | RedisBroker = RabbitBroker() if options.rabbitmq else RedisBroker()
        stack.callback(broker.server.remove if isinstance(broker, RabbitBroker) else broker.server.stop)
        broker.server.start()
        backend = RedisServer()
        stack.callback(backend.stop)
        backend.start()
        place = Place(broker.url, f"{backend.url}/0", url, folder, LEASE_SECONDS, options.fence)
        app = make_app(place.broker, place.backend, url, lease_seconds=LEASE_SECONDS, fence=options.fence)
        stack.callback(app.segue.close)
        began = time.monotonic()
        soak = Soak(app, place, Blows(place, chance, broker, backend, server), chance)
        soak.last(options.minutes * 60)
        broker_name = "RabbitMQ" if options.rabbitmq else "Redis"
        kind = f"{url.partition(':')[0]}, {broker_name}, fence {options.fence}, seed {options.seed}"
        words = [f"{kind}, {time.monotonic() - began:.0f} s", *soak.report()]
    sys.stdout.write("\n".join(words) + "\n")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
