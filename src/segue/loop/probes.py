"""HTTP probes: `/live` and `/ready`, with 200 or 503 and the reasons as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from segue.loop.small_server import Answer, SmallServer

Ask = Callable[[], list[str]]


def probes(address: str, live: Ask, ready: Ask) -> SmallServer:
    """A server that answers them. Raises ConfigError if the address is malformed."""
    pages = {"/live": partial(_page, live), "/ready": partial(_page, ready)}
    return SmallServer("--health", address, pages, otherwise=_unknown)


def _page(ask: Ask) -> Answer:
    problems = ask()
    return _json(503 if problems else 200, "failing" if problems else "ok", problems)


def _unknown() -> Answer:
    return _json(404, "unknown", ["ask /live or /ready"])


def _json(status: int, word: str, problems: list[str]) -> Answer:
    return Answer(status, "application/json", json.dumps({"status": word, "problems": problems}).encode())
