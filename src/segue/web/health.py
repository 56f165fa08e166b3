"""What machines ask: is the process alive, does the database answer, and the metrics."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from segue.client.metrics import CONTENT_TYPE, render_metrics
from segue.errors import SegueError
from segue.web.api.routes import answering, problem_answer
from segue.web.problems import ProblemError
from segue.web.requests import call_of
from segue.web.site import Site

KEPT = 2.0
"""Seconds for which the answer of /readyz is kept, however often it is asked."""

METRICS_SCOPE = "read_metrics"


def health_routes(site: Site) -> list[BaseRoute]:
    """/healthz, /readyz, /metrics and /robots.txt."""
    return [
        Route("/healthz", _alive), Route("/readyz", _Readiness(site).answer), Route("/robots.txt", _robots),
        Route("/metrics", answering(_metrics(site), lambda request, error: problem_answer(error), route="/metrics")),
    ]  # fmt: skip


async def _alive(request: Request) -> Response:
    return PlainTextResponse("ok")


async def _robots(request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


class _Readiness:
    """Whether the database answers and has the tables of this version. Strangers learn one word."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._asked_at, self._is_ready = -KEPT, False

    async def answer(self, request: Request) -> Response:
        if time.monotonic() - self._asked_at >= KEPT:
            self._is_ready = await self._site.in_thread(self._asked)
            self._asked_at = time.monotonic()
        return PlainTextResponse("ok") if self._is_ready else PlainTextResponse("not ready", 503)

    def _asked(self) -> bool:
        try:
            self._site.segue.workers()
        except SegueError:
            return False
        return True


def _metrics(site: Site) -> Any:
    async def metrics(request: Request) -> Response:
        identity = call_of(site, request).identity
        if identity.scopes is not None and METRICS_SCOPE not in identity.scopes:
            raise ProblemError(403, "Forbidden", f"This token is not for {METRICS_SCOPE}.")
        return Response(await site.in_thread(render_metrics, site.segue), media_type=CONTENT_TYPE)

    return metrics
