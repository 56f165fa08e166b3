"""The option `--metrics`, which every command that runs for long has, and what their gauges ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from segue.cli.options import AnyCallable
from segue.observing.metrics import registry
from segue.observing.metrics.meter import Meter
from segue.worker.options import WorkerOptions
from segue.worker.worker import Worker

Gauges = Callable[[Meter], Sequence[Callable[[], None]]]


def with_metrics_option(function: AnyCallable) -> AnyCallable:
    """Give a command the option, as its argument `metrics`."""
    option: AnyCallable = click.option(
        "--metrics",
        metavar="HOST:PORT",
        envvar="SEGUE_METRICS",
        help="Serve metrics for Prometheus there: /metrics. Needs segue[metrics]. [env: SEGUE_METRICS]",
    )(function)
    return option


def gauges_of(
    worker: Worker | None = None, options: WorkerOptions | None = None, *, leads: Callable[[], bool] | None = None
) -> Gauges:
    """What is asked at each scrape: how full a worker is, and whether this process does the chores."""

    def ask(meter: Meter) -> list[Callable[[], None]]:
        ends = []
        if worker is not None and options is not None:
            queues = ",".join(options.queues)
            ends.append(meter.ask(registry.PLACES, queues, value=lambda: options.concurrency))
            ends.append(meter.ask(registry.PLACES_BUSY, queues, value=lambda: worker.busy))
        if leads is not None:
            ends.append(meter.ask(registry.LEADS, value=lambda: float(leads())))
        return ends

    return ask
