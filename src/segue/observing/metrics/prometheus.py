"""The metrics in the form of Prometheus. The only module that imports prometheus_client.

Every process has one set of counters; `meter_of_this_process` makes it when it is first asked. They are in a registry
of their own, unless the program that contains Segue names another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from segue.observing.metrics import registry as known
from segue.observing.metrics.labels import Cap
from segue.observing.metrics.meter import metering
from segue.observing.metrics.registry import METRICS, Kind, Metric, Source
from segue.version import __version__

CONTENT_TYPE = CONTENT_TYPE_LATEST
_OF_BIRTHS = re.compile(rb"(# (HELP|TYPE) )?segue_\w+_created[ {]")
"""When each counter began, in a series of its own: twice the series, for what a restart shows as well."""

Sample = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels, and its value."""


class PrometheusMeter(Collector):
    """The counters of this process, in a registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._cap = Cap()
        self._lock = Lock()
        self._asked: dict[Metric, dict[tuple[str, ...], Callable[[], float]]] = {}
        self._counters: dict[Metric, Counter] = {}
        self._histograms: dict[Metric, Histogram] = {}
        for metric in METRICS:
            if metric.source != Source.PROCESS or metric is known.LABELS_CAPPED:
                continue
            if metric.kind == Kind.COUNTER:
                self._counters[metric] = Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)
            elif metric.kind == Kind.HISTOGRAM:
                self._histograms[metric] = Histogram(
                    metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=self.registry
                )
        build = Gauge(known.BUILD.name, known.BUILD.meaning, known.BUILD.labels, registry=self.registry)
        build.labels(__version__).set(1)
        self.registry.register(self)

    def add(self, metric: Metric, *values: str, amount: float = 1.0) -> None:
        """Add to a counter."""
        counter = self._counters[metric]
        (counter.labels(*self._capped(metric, values)) if metric.labels else counter).inc(amount)

    def observe(self, metric: Metric, *values: str, amount: float) -> None:
        """Add an observation to a histogram."""
        histogram = self._histograms[metric]
        (histogram.labels(*self._capped(metric, values)) if metric.labels else histogram).observe(amount)

    def ask(self, metric: Metric, *values: str, value: Callable[[], float]) -> Callable[[], None]:
        """Call this whenever the gauge is read. With the same labels, the sum of several is shown."""
        key = self._capped(metric, values)
        with self._lock:
            places = self._asked.setdefault(metric, {})
            before = places.get(key)
            places[key] = value if before is None else lambda: before() + value()

        def end() -> None:
            with self._lock:
                if before is None:
                    places.pop(key, None)
                else:
                    places[key] = before

        return end

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: then the registry does not read the gauges when it is given this collector."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The gauges, as they are now. One that cannot be read is left out."""
        with self._lock:
            asked = [(metric, dict(places)) for metric, places in self._asked.items()]
        for metric, places in asked:
            gauge = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for values, value in places.items():
                with suppress(Exception):  # it was changed by another thread while it was read
                    gauge.add_metric(values, value())
            yield gauge
        capped = known.LABELS_CAPPED
        counter = CounterMetricFamily(capped.name, capped.meaning, labels=capped.labels)
        for label, count in list(self._cap.capped.items()):
            counter.add_metric([label], count)
        yield counter

    def _capped(self, metric: Metric, values: tuple[str, ...]) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._cap.of(label, value) for label, value in zip(metric.labels, values, strict=True))


class _Samples(Collector):
    """Values that were read elsewhere, for one answer."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = list(samples)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        cap = Cap()
        families: dict[Metric, dict[tuple[str, ...], float]] = {}
        for metric, values, value in self._samples:
            key = tuple(cap.of(label, each) for label, each in zip(metric.labels, values, strict=True))
            summed = families.setdefault(metric, {})
            summed[key] = summed.get(key, 0.0) + value
        for metric, places in families.items():
            gauge = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for values, value in places.items():
                gauge.add_metric(values, value)
            yield gauge


def meter_of_this_process(registry: CollectorRegistry | None = None) -> PrometheusMeter:
    """The meter, which counts from now on. A second call returns the same one."""
    if not isinstance(metering.meter, PrometheusMeter):
        metering.meter = PrometheusMeter(registry)
    return metering.meter


def text_of_process() -> bytes:
    """What this process has counted; nothing if it does not count."""
    meter = metering.meter
    if not isinstance(meter, PrometheusMeter):
        return b""
    lines = generate_latest(meter.registry).splitlines(keepends=True)
    return b"".join(line for line in lines if not _OF_BIRTHS.match(line))


def text_of(samples: Iterable[Sample]) -> bytes:
    """These values."""
    registry = CollectorRegistry()
    registry.register(_Samples(samples))
    return generate_latest(registry)
