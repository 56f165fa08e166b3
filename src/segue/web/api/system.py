"""The database and the processes that work with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from segue.client.retention import Rule
from segue.client.views import (
    ExecutorInfo,
    LeaderInfo,
    QueueInfo,
    RunInfo,
    Statistics,
    SubscriptionInfo,
    WorkerInfo,
    leader_info,
)
from segue.config import without_password
from segue.plan.namespaces import EVERY
from segue.version import __version__
from segue.web.api.given import Limit, Seconds, Text, Why
from segue.web.api.own_tasks import target_of
from segue.web.api.schedules import Removed
from segue.web.api.shown import RunDetail, detail, masked_run
from segue.web.operations import Call, operation
from segue.web.problems import ProblemError
from segue.web.roles import Role


class Database(msgspec.Struct):
    """Which database this is."""

    database: str  # its URL, without the password
    dialect: str
    schema_version: int
    namespace: str
    version: str  # of Segue


class PayloadTotals(msgspec.Struct):
    """What the database knows of payloads."""

    payloads: int
    bytes: int
    unused: int


class RetentionRule(Why, forbid_unknown_fields=True, omit_defaults=True):
    """How long final runs are kept; '' means all workflows, or all statuses."""

    workflow: Text = ""
    status: Text = ""
    max_age_seconds: Seconds | None = None
    max_count: int | None = None


class RuleName(Why, forbid_unknown_fields=True, omit_defaults=True):
    """The rule of this workflow and status."""

    workflow: Text = ""
    status: Text = ""


class NewSubscription(Why, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Which events are sent where. `to` is a URL: http and https are webhooks, any other is for Apprise."""

    events: list[Text]
    to: Text
    workflow: Text | None = None


class StatisticsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How far back, in seconds, and about what."""

    since: Annotated[float, msgspec.Meta(gt=0, le=90 * 86_400)] = 3600.0
    by: Literal["queue", "task"] | None = None
    queue: Text | None = None
    task: Text | None = None


class EndedQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which workers that have ended."""

    status: Literal["stopped", "lost"] | None = None
    before: Text | None = None
    limit: Limit = 50


class WorkersPage(msgspec.Struct):
    """Workers, and where the next page begins: give `next` as `before`."""

    items: list[WorkerInfo]
    next: str | None


class WorkflowsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which page."""

    after: Text = ""
    limit: Limit = 100


class LastRun(msgspec.Struct):
    """A workflow, and its newest run."""

    name: str
    last: RunInfo | None


class WorkflowsPage(msgspec.Struct):
    """Workflows, and where the next page begins: give `next` as `after`."""

    items: list[LastRun]
    next: str | None


@operation("GET", "/workers", Role.VIEWER)
def list_workers(call: Call) -> list[WorkerInfo]:
    """The workers that have not ended."""
    return call.segue.workers()


@operation("GET", "/workers/ended", Role.VIEWER)
def list_ended_workers(call: Call, query: EndedQuery) -> WorkersPage:
    """The workers that stopped or were lost in the last hour or so, the one that started last first."""
    found = call.segue.ended_workers(status=query.status, before=query.before, limit=query.limit)
    return WorkersPage(found, found[-1].id if len(found) == query.limit else None)


@operation("GET", "/queues", Role.VIEWER)
def list_queues(call: Call) -> list[QueueInfo]:
    """The queues on which steps wait or run, or on which workers work. No count goes beyond 10,001."""
    return call.segue.queues()


@operation("GET", "/stats", Role.VIEWER)
def get_statistics(call: Call, query: StatisticsQuery) -> Statistics:
    """How many attempts ended, how many failed, how long they took and how long their steps had been ready before."""
    since = timedelta(seconds=query.since)
    return call.segue.statistics(since=since, by=query.by, queue=query.queue, task=query.task)


@operation("GET", "/workflows", Role.VIEWER)
def list_workflows(call: Call, query: WorkflowsQuery) -> WorkflowsPage:
    """The workflows of which there are runs, by name, with the newest run of each."""
    found = call.segue.workflows(after=query.after, limit=query.limit)
    shown = [LastRun(each.name, None if each.last is None else masked_run(call, each.last)) for each in found]
    return WorkflowsPage(shown, found[-1].name if len(found) == query.limit else None)


@operation("GET", "/executors", Role.VIEWER)
def list_executors(call: Call) -> list[ExecutorInfo]:
    """The executors that are polled, as Slurm or Kubernetes, and how they are."""
    return list(call.segue.executors.list())


@operation("GET", "/database", Role.VIEWER)
def get_database(call: Call) -> Database:
    """Which database this is, and which version its tables have."""
    store = call.segue.engine.store
    url = without_password(call.segue.url)
    return Database(url, store.dialect, store.schema_version(), call.segue.namespace, __version__)


@operation("GET", "/leader", Role.VIEWER)
def get_leader(call: Call) -> LeaderInfo | None:
    """The process that does the chores, or did them last; null if none ever has."""
    with call.segue.engine.reading() as tx:
        return leader_info(tx, "" if call.segue.namespace == EVERY else call.segue.namespace)


@operation("GET", "/payloads", Role.VIEWER)
def get_payloads(call: Call) -> PayloadTotals:
    """How many payloads the database knows, their bytes, and how many no run uses any more."""
    return PayloadTotals(*call.segue.payloads.count())


@operation("GET", "/retention", Role.ADMIN)
def list_retention(call: Call) -> list[Rule]:
    """The rules of how long final runs are kept."""
    return call.segue.retention.list()


@operation("PUT", "/retention", Role.ADMIN)
def set_retention(call: Call, body: RetentionRule) -> Rule:
    """Create or change a rule. A null age keeps runs forever, a null count keeps any number."""
    age = None if body.max_age_seconds is None else timedelta(seconds=body.max_age_seconds)
    return call.segue.retention.set(
        body.workflow, body.status, max_age=age, max_count=body.max_count, reason=body.reason
    )


@operation("DELETE", "/retention", Role.ADMIN, is_destructive=True)
def remove_retention(call: Call, body: RuleName) -> Removed:
    """Remove a rule, so that a more general one applies again."""
    if not call.segue.retention.remove(body.workflow, body.status, reason=body.reason):
        raise ProblemError(404, "RuleNotFound", "There is no rule for this workflow and status.")
    return Removed(f"{body.workflow} {body.status}".strip())


@operation("GET", "/subscriptions", Role.ADMIN)
def list_subscriptions(call: Call) -> list[SubscriptionInfo]:
    """The subscriptions, by name, with their targets without secrets."""
    return call.segue.subscriptions.list()


@operation("PUT", "/subscriptions/{name:name}", Role.ADMIN)
def set_subscription(call: Call, name: str, body: NewSubscription) -> SubscriptionInfo:
    """Send events to a URL. A subscription of this name is replaced, and stays active or inactive."""
    target = target_of(call, body.to)
    call.segue.subscriptions.add(name, events=body.events, to=target, workflow=body.workflow, reason=body.reason)
    return _subscription(call, name)


@operation("DELETE", "/subscriptions/{name:name}", Role.ADMIN, is_destructive=True)
def remove_subscription(call: Call, name: str, body: Why) -> Removed:
    """Remove a subscription; notifications that have started continue."""
    call.segue.subscriptions.remove(name, reason=body.reason)
    return Removed(name)


@operation("POST", "/subscriptions/{name:name}/activate", Role.ADMIN)
def activate_subscription(call: Call, name: str, body: Why) -> SubscriptionInfo:
    """Switch a subscription on."""
    call.segue.subscriptions.activate(name, reason=body.reason)
    return _subscription(call, name)


@operation("POST", "/subscriptions/{name:name}/deactivate", Role.ADMIN)
def deactivate_subscription(call: Call, name: str, body: Why) -> SubscriptionInfo:
    """Switch a subscription off: events that happen meanwhile are never sent."""
    call.segue.subscriptions.deactivate(name, reason=body.reason)
    return _subscription(call, name)


@operation("POST", "/subscriptions/{name:name}/test", Role.ADMIN, status=201)
def test_subscription(call: Call, name: str, body: Why) -> RunDetail:
    """Send a test: start a run that delivers an event to the target, whose detail says that it is a test."""
    return detail(call, call.segue.subscriptions.test(name))


def _subscription(call: Call, name: str) -> SubscriptionInfo:
    for each in call.segue.subscriptions.list():
        if each.name == name:
            return each
    raise ProblemError(404, "SubscriptionNotFoundError", f"There is no subscription {name!r}.")
