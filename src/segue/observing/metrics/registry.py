"""Every metric of Segue. The dashboard and the alert rules are made of this table; a test compares the documentation.

Two sources. *Process* metrics count what happened in one process, since it began. *Database* metrics say how things
stand for all processes together. No label has the id of a run, a key, the name of a worker or a message as its value:
their number has no bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The type of a metric, as Prometheus knows it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Where the value of a metric comes from."""

    PROCESS = "process"
    DATABASE = "database"


SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
"""The buckets of durations of tasks, waits and runs: 5 ms to an hour."""

SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
COUNTS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. The name of a counter ends in `_total`, and the unit of a time is seconds."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    source: Source = Source.PROCESS
    buckets: tuple[float, ...] = SECONDS

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which Prometheus stores it."""
        if self.kind == Kind.HISTOGRAM:
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, meaning, labels)


def _histogram(name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Metric:
    return Metric(name, Kind.HISTOGRAM, meaning, labels, buckets=buckets)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, meaning, labels)


def _standing(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, meaning, labels, Source.DATABASE)


ATTEMPTS = _counter("segue_attempts_total", "Attempts that ended", "task", "queue", "outcome")
ATTEMPT_SECONDS = _histogram("segue_attempt_duration_seconds", "How long attempts ran", "task")
WAIT_SECONDS = _histogram("segue_step_wait_seconds", "How long steps were ready before they were claimed", "queue")
RETRIES = _counter("segue_retries_total", "Attempts that failed or were lost, and will be followed by another")
RUNS_STARTED = _counter("segue_runs_started_total", "Runs that this process stored", "workflow")
RUNS_ENDED = _counter("segue_runs_ended_total", "Runs whose end this process recorded", "workflow", "outcome")
RUN_SECONDS = _histogram("segue_run_duration_seconds", "From the first claim of a run to its end", "workflow")
TURN_SECONDS = _histogram(
    "segue_turn_duration_seconds", "How long the transactions of a worker took", buckets=SHORT_SECONDS
)
TURN_STEPS = _histogram("segue_turn_steps", "Outcomes recorded and steps claimed in a transaction", buckets=COUNTS)
STORE_ERRORS = _counter("segue_store_errors_total", "Transactions that the database could not do", "kind")
CHILDREN_ENDED = _counter("segue_pool_children_ended_total", "Child processes of the pool that ended", "reason")
ALERTS = _counter("segue_alerts_total", "Alerts for runs and steps that this process raised", "kind")
PLACES = _gauge("segue_places", "Attempts that the worker can run at the same time", "queue")
PLACES_BUSY = _gauge("segue_places_busy", "Attempts that the worker has now, waiting ones included", "queue")
ANSWER_AGE = _gauge("segue_heartbeat_age_seconds", "Since the database last answered the loop of this process")
LEADS = _gauge("segue_leader", "1 on the process that does the chores, 0 elsewhere")
BUILD = _gauge("segue_build_info", "Always 1; the label says which version runs", "version")
LABELS_CAPPED = _counter(
    "segue_label_values_capped_total", "Values counted as `other`, because the label has too many", "label"
)

HTTP_REQUESTS = _counter(
    "segue_http_requests_total", "Requests to the web pages and the API", "route", "method", "code"
)
HTTP_SECONDS = _histogram(
    "segue_http_request_duration_seconds", "How long requests took, without streams", "route", buckets=SHORT_SECONDS
)
LIVE_STREAMS = _gauge("segue_live_streams", "Open streams of pages that hear of changes")

READY = _standing("segue_ready_steps", "Steps that a worker could claim now, up to 100,000", "queue")
DELAYED = _standing("segue_delayed_steps", "Steps that wait for their time: retries, delays", "queue")
LIMITED = _standing("segue_limited_steps", "Steps that a limit or a fair share holds back", "queue")
RUNNING = _standing("segue_running_steps", "Steps that workers run", "queue")
SENT = _standing("segue_sent_steps", "Steps handed to an executor that has not begun them", "queue")
OLDEST = _standing("segue_oldest_ready_seconds", "How long the oldest claimable step has waited", "queue")
LIVE_RUNS = _standing("segue_live_runs", "Runs that have not ended, up to 100,000", "status")
WAITING = _standing("segue_waiting_for_message", "Steps that wait for a message or a person")
WORKERS = _standing("segue_workers", "Workers: running, stopping, lost or stopped (for an hour or so)", "status")
LIMIT_PLACES = _standing("segue_limit_places", "The size of a limit on steps at the same time", "limit")
LIMIT_TAKEN = _standing("segue_limit_places_taken", "Places of a limit that are taken, for all keys together", "limit")
LIMIT_WAITING = _standing("segue_limit_waiting", "Steps, or runs, that wait for a limit", "limit")
LEASE = _standing("segue_leader_lease_seconds", "Until the lease of the leader ends; 0: no process does the chores")
LAG = _standing("segue_schedule_lag_seconds", "How late the next tick of a schedule is; 0: it is not due", "schedule")
STUCK = _standing("segue_schedules_stuck", "Schedules whose next tick cannot be decided")
SCHEMA = _standing("segue_schema_version", "The number of the last migration of the database")
STANDING_AGE = _standing("segue_standing_age_seconds", "How old the values that come from the database are")

METRICS = (
    ATTEMPTS, ATTEMPT_SECONDS, WAIT_SECONDS, RETRIES, RUNS_STARTED, RUNS_ENDED, RUN_SECONDS, TURN_SECONDS, TURN_STEPS,
    STORE_ERRORS, CHILDREN_ENDED, ALERTS, PLACES, PLACES_BUSY, ANSWER_AGE, LEADS, BUILD, LABELS_CAPPED,
    HTTP_REQUESTS, HTTP_SECONDS, LIVE_STREAMS,
    READY, DELAYED, LIMITED, RUNNING, SENT, OLDEST, LIVE_RUNS, WAITING, WORKERS, LIMIT_PLACES, LIMIT_TAKEN,
    LIMIT_WAITING, LEASE, LAG, STUCK, SCHEMA, STANDING_AGE,
)  # fmt: skip
"""All of them."""
