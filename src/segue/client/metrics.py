"""The metrics of a database, and of this process, as Prometheus reads them."""

from __future__ import annotations

from segue.client.segue import Segue
from segue.loop.measuring import Ends
from segue.observing.metrics.loading import CONTENT_TYPE, prometheus_module
from segue.observing.metrics.meter import metering
from segue.scheduler.standing import standing_of

__all__ = ["CONTENT_TYPE", "count_in_this_process", "render_metrics"]


def render_metrics(segue: Segue, *, process: bool = True) -> bytes:
    """How things stand in the database of this `Segue`, and, if `process`, what this process has counted.

    It costs one small read, and every 15 seconds the reader makes the numbers again. Raises ConfigError if
    prometheus_client is not installed, and StoreError if the database does not answer. Example::

        @app.get("/metrics")
        def metrics() -> Response:
            return Response(render_metrics(segue), media_type=CONTENT_TYPE)
    """
    prometheus = prometheus_module()
    own: bytes = prometheus.text_of_process() if process else b""
    stand: bytes = prometheus.text_of(standing_of(segue.engine))
    return own + stand


def count_in_this_process(segue: Segue, registry: object = None) -> None:
    """Count from now on in this process. `registry`: a CollectorRegistry of prometheus_client; None: Segue's own.

    For processes that are not Segue's: a web application, a worker of Celery or Dramatiq. Calling it twice changes
    nothing. Raises ConfigError if prometheus_client is not installed. Example::

        from prometheus_client import REGISTRY
        count_in_this_process(segue, REGISTRY)
    """
    prometheus_module().meter_of_this_process(registry)
    if metering.listener is None:  # also in a fork
        Ends(segue.engine).__enter__()
