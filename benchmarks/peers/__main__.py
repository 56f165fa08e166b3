"""The comparison: starts the servers, measures the systems alternately, prints the table.

    python -m benchmarks.peers [--only NAME,...] [--works WORK,...] [--rounds N] [--quick] [--json FILE]

Each system is measured in a separate process, one after another, in rounds, so that a slow moment of the machine does
not affect one system alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.peers import servers
from benchmarks.peers.comparison import Result, markdown
from benchmarks.peers.rival import FOLDER_VARIABLE, POSTGRES_VARIABLE, RABBITMQ_VARIABLE, REDIS_VARIABLE, WORKS
from benchmarks.peers.roster import ROSTER
from benchmarks.peers.session import QUICK, Sizes, as_json
from segue.bench import machine
from tests.servers.postgres import create_database, drop_database

ROUNDS = 3
SESSION_SECONDS = 900
_SERVERS = {
    "postgres": (POSTGRES_VARIABLE, servers.postgres_server),
    "redis": (REDIS_VARIABLE, servers.redis_server),
    "rabbitmq": (RABBITMQ_VARIABLE, servers.rabbitmq_server),
}
_PACKAGES = ("segue", "celery", "redis", "huey", "dbos", "procrastinate", "psycopg")


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the systems; returns 0 if all could be measured."""
    asked = _parse(argv)
    sizes = QUICK if asked.quick else Sizes()
    rounds = asked.rounds or (1 if asked.quick else ROUNDS)
    results = {name: Result() for name in asked.only}
    facts = machine.describe([])
    with ExitStack() as stack:
        urls = _start_servers(stack, results)
        for number in range(rounds):
            for name, result in results.items():
                if not result.problems:
                    print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
                    result.add(_session(name, urls, asked.works, sizes))
    head = "\n".join(f"{key}: {fact}  " for key, fact in (facts | _versions()).items() if fact)
    report = f"{head}\nrounds: {rounds}\n\n{markdown(results)}"
    print(report)
    if asked.markdown:
        asked.markdown.write_text(report)
    if asked.json:
        everything = {"machine": facts, "versions": _versions(), "rounds": rounds, "sizes": asdict(sizes)}
        systems = {name: asdict(result) for name, result in results.items()}
        asked.json.write_text(json.dumps(everything | {"systems": systems}, indent=2) + "\n")
    return 1 if any(result.problems for result in results.values()) else 0


def _start_servers(stack: ExitStack, results: dict[str, Result]) -> dict[str, str]:
    """Start the servers; returns the URLs by variable. A missing server is a problem of each system that needs it."""
    urls = {}
    for kind, (variable, serving) in _SERVERS.items():
        users = [name for name in results if kind in ROSTER[name].servers]
        if not users:
            continue
        try:
            urls[variable] = stack.enter_context(serving())
        except (servers.MissingError, RuntimeError, OSError) as error:
            for name in users:
                results[name].problems.append(f"{kind} could not be started: {error}")
    return urls


def _session(name: str, urls: dict[str, str], works: Iterable[str], sizes: Sizes) -> dict[str, Any]:
    """Measure one system once, in a separate database."""
    with tempfile.TemporaryDirectory(prefix=f"segue-peers-{name}-") as folder:
        environment = os.environ | urls | {FOLDER_VARIABLE: folder, "PYTHONWARNINGS": "ignore"}
        database = create_database(urls[POSTGRES_VARIABLE]) if "postgres" in ROSTER[name].servers else None
        if database:
            environment[POSTGRES_VARIABLE] = database
        try:
            return _answer(name, folder, environment, [",".join(works), as_json(sizes)])
        finally:
            if database:
                drop_database(database)


def _answer(name: str, folder: str, environment: dict[str, str], words: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.peers.session", name, *words]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SESSION_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"problems": [f"the session took more than {SESSION_SECONDS} s"]}
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"problems": [f"exit code {done.returncode}: {done.stderr[-600:]}"]}
    log = Path(folder) / "workers.log"
    if answer["problems"] and log.exists():
        print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
    return answer


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="Segue beside other systems.")
    add = parser.add_argument
    add("--only", type=_among(ROSTER), default=list(ROSTER), metavar="NAME,...", help=f"some of: {', '.join(ROSTER)}")
    add("--works", type=_among(WORKS), default=list(WORKS), metavar="WORK,...", help=f"some of: {', '.join(WORKS)}")
    add("--rounds", type=int, help=f"how often each system is measured (default: {ROUNDS})")
    add("--quick", action="store_true", help="small numbers and one round, to see that everything works")
    add("--markdown", type=Path, metavar="FILE", help="write the tables to FILE, too")
    add("--json", type=Path, metavar="FILE", help="write everything to FILE")
    return parser.parse_args(argv)


def _among(known: Iterable[str]) -> Any:
    def parse(text: str) -> list[str]:
        asked = text.split(",")
        unknown = sorted(set(asked) - set(known))
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not known; choose from {', '.join(known)}")
        return [name for name in known if name in asked]

    return parse


if __name__ == "__main__":
    sys.exit(main())
