"""A dashboard for Grafana, made of the registry: `segue observe grafana`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segue.observing.metrics import registry as known
from segue.observing.metrics.registry import Metric

WIDTH, HEIGHT = 8, 8
COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its title, its unit, and (expression, legend) of each line."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def _rate(metric: Metric, *by: str, where: str = "") -> str:
    inner = f"rate({metric.name}{where}[$__rate_interval])"
    return f"sum by ({', '.join(by)}) ({inner})" if by else f"sum({inner})"


def _quantile(metric: Metric, share: float, *by: str) -> str:
    labels = ", ".join((*by, "le"))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric.name}_bucket[$__rate_interval])))"


def _now(metric: Metric, *by: str) -> str:
    """A value of the database, which every process that serves it tells alike."""
    return f"max by ({', '.join(by)}) ({metric.name})" if by else f"max({metric.name})"


def _legend(*labels: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in labels)


def _panels_of_processes() -> list[Panel]:
    """How the processes of Segue themselves are."""
    return [
        Panel("Turns", "s", (
            (_quantile(known.TURN_SECONDS, 0.95), "p95"),
            (f"sum(rate({known.TURN_STEPS.name}_sum[$__rate_interval]))", "steps each second"),
        )),
        Panel("Errors of the database", "ops", (
            (_rate(known.STORE_ERRORS, "kind"), _legend("kind")),
            (f"max by (instance) ({known.ANSWER_AGE.name})", f"silent {_legend('instance')}"),
        )),
        Panel("Child processes that ended", "ops", ((_rate(known.CHILDREN_ENDED, "reason"), _legend("reason")),)),
        Panel("Alerts", "ops", ((_rate(known.ALERTS, "kind"), _legend("kind")),)),
        Panel("Requests to the web", "ops", (
            (_rate(known.HTTP_REQUESTS, "code"), _legend("code")),
            (f"sum({known.LIVE_STREAMS.name})", "open streams"),
        )),
        Panel("Duration of requests", "s", (
            (_quantile(known.HTTP_SECONDS, 0.95, "route"), f"p95 {_legend('route')}"),
        )),
        Panel("Versions", "short", (
            (f"count by (version) ({known.BUILD.name})", _legend("version")), (_now(known.SCHEMA), "schema"),
            (_now(known.STANDING_AGE), "age of these numbers"),
            (_rate(known.LABELS_CAPPED, "label"), f"too many {_legend('label')}"),
        )),
    ]  # fmt: skip


def panels() -> list[Panel]:
    """The panels, in reading order: what waits, what runs, how it ends, how Segue itself is."""
    queue, workflow, task = _legend("queue"), _legend("workflow"), _legend("task")
    slow = "p95 "
    return [
        Panel("Ready steps", "short", ((_now(known.READY, "queue"), queue),)),
        Panel("Oldest ready step", "s", ((_now(known.OLDEST, "queue"), queue),)),
        Panel("Wait for a worker", "s", ((_quantile(known.WAIT_SECONDS, 0.95, "queue"), slow + queue),)),
        Panel("Held back", "short", (
            (_now(known.DELAYED, "queue"), f"by time {queue}"), (_now(known.LIMITED, "queue"), f"by a limit {queue}"),
            (_now(known.WAITING), "for a message"),
        )),
        Panel("Running steps", "short", (
            (_now(known.RUNNING, "queue"), queue), (_now(known.SENT, "queue"), f"sent {queue}"),
        )),
        Panel("Places", "short", (
            (f"sum by (queue) ({known.PLACES.name})", f"all {queue}"),
            (f"sum by (queue) ({known.PLACES_BUSY.name})", f"busy {queue}"),
        )),
        Panel("Live runs", "short", ((_now(known.LIVE_RUNS, "status"), _legend("status")),)),
        Panel("Runs started", "ops", ((_rate(known.RUNS_STARTED, "workflow"), workflow),)),
        Panel("Runs ended", "ops", (
            (_rate(known.RUNS_ENDED, "workflow", "outcome"), _legend("workflow", "outcome")),
        )),
        Panel("Duration of runs", "s", ((_quantile(known.RUN_SECONDS, 0.95, "workflow"), slow + workflow),)),
        Panel("Attempts", "ops", ((_rate(known.ATTEMPTS, "outcome"), _legend("outcome")),)),
        Panel("Failed attempts", "ops", (
            (_rate(known.ATTEMPTS, "task", where='{outcome=~"failed|lost"}'), task), (_rate(known.RETRIES), "retries"),
        )),
        Panel("Duration of attempts", "s", ((_quantile(known.ATTEMPT_SECONDS, 0.95, "task"), slow + task),)),
        Panel("Limits", "short", (
            (_now(known.LIMIT_PLACES, "limit"), f"size {_legend('limit')}"),
            (_now(known.LIMIT_TAKEN, "limit"), f"taken {_legend('limit')}"),
            (_now(known.LIMIT_WAITING, "limit"), f"waiting {_legend('limit')}"),
        )),
        Panel("Schedules", "s", (
            (_now(known.LAG, "schedule"), f"late {_legend('schedule')}"), (_now(known.STUCK), "stuck"),
        )),
        Panel("Workers", "short", ((_now(known.WORKERS, "status"), _legend("status")),)),
        Panel("Leader", "s", (
            (_now(known.LEASE), "lease"), (f"sum({known.LEADS.name})", "leaders"),
        )),
        *_panels_of_processes(),
    ]  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana imports it; it asks which Prometheus to read."""
    return {
        "title": "Segue",
        "uid": "segue",
        "schemaVersion": 39,
        "tags": ["segue"],
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels())],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    in_row = COLUMNS // WIDTH
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": source,
        "gridPos": {"x": number % in_row * WIDTH, "y": number // in_row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend, "datasource": source}
            for place, (expression, legend) in enumerate(panel.lines)
        ],
    }
