"""What a project may define with Taskflow's names, what is refused, and why. No processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from segue import Segue
from segue.authoring import declared
from segue.authoring.planning import to_plan
from segue.compat.refusing import NotTranslatedError
from segue.compat.taskflow import Pusher, Task, Taskflow, Workflow
from segue.compat.taskflow.database import database_of
from segue.compat.taskflow.monitoring import Ended, Monitor, MonitorDestination
from segue.compat.taskflow.monitoring.aws import AWSMonitor
from segue.compat.taskflow.monitoring.slack import SlackMonitor
from segue.compat.taskflow.push_workers import PushWorker
from segue.compat.taskflow.push_workers.aws_batch import AWSBatchPushWorker
from segue.compat.taskflow.rest.app import create_app
from segue.compat.taskflow.tasks.bash_task import BashTask
from segue.dispatcher.registry import executors
from segue.errors import ConfigError, DefinitionError
from segue.plan.pushed import decode_spec
from segue.scheduler.chores import Chores
from segue.testing import ScriptedPlatform

pytestmark = pytest.mark.usefixtures("no_other_executors")

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What a test defines is forgotten after it."""
    kept = [(known, dict(known)) for known in (declared.tasks, declared.workflows, executors)]
    yield
    for known, before in kept:
        known.clear()  # type: ignore[attr-defined]
        known.update(before)  # type: ignore[attr-defined]


@pytest.fixture
def taskflow() -> Taskflow:
    return Taskflow()


def circle() -> Any:
    workflow = Workflow(name="circle")
    first, second, third = (Task(workflow=workflow, name=name) for name in ("first", "second", "third"))
    for task, above in ((first, second), (second, third), (third, first)):
        task.depends_on(above)
    Taskflow().add_workflow(workflow)
    return workflow.get_new_instance().start(Segue("sqlite:////nowhere/x.db"))


def twice_in_a_workflow() -> None:
    workflow = Workflow(name="weaving")
    Task(workflow=workflow, name="a")
    Task(workflow=workflow, name="a")


def in_two_workflows() -> None:
    workflows = [Workflow(name="vetting"), Workflow(name="weaving")]
    for workflow in workflows:
        Task(workflow=workflow, name="a")
    Taskflow().add_workflows(workflows)


def in_two_taskflows() -> None:
    for _ in range(2):
        Taskflow().add_task(Task(name="a"))


def added_twice() -> None:
    task, taskflow = Task(name="a"), Taskflow()
    taskflow.add_tasks([task, task])


def across_workflows() -> None:
    Task(workflow=Workflow(name="vetting"), name="a").depends_on(Task(workflow=Workflow(name="weaving"), name="b"))


def on_itself() -> None:
    task = Task(workflow=Workflow(name="weaving"), name="a")
    task.depends_on(task)


def with_a_new_push_worker_too_late() -> None:
    taskflow = Taskflow()
    taskflow.add_task(Task(name="a", push_destination="aws_batch"))
    taskflow.add_push_worker(AWSBatchPushWorker(taskflow))


@pytest.mark.parametrize(
    "define, why",
    [
        (circle, "in a circle: .*first -> second -> third"),
        (twice_in_a_workflow, "two tasks named 'a'"),
        (in_two_workflows, "there are two named 'a'"),
        (in_two_taskflows, "is taken in this process"),
        (added_twice, "was added before"),
        (across_workflows, "both need to be tasks of"),
        (on_itself, "depend on itself"),
        (with_a_new_push_worker_too_late, "call it before"),
        (lambda: Task(name="a").depends_on(Task(name="b")), "without a workflow"),
        (lambda: Task(), "`name` required for Task"),
        (lambda: Workflow(name=" "), "`name` required for Workflow"),
        (lambda: Task("a"), "`name` required"),  # type: ignore[arg-type]
        (lambda: Task("a", name="b"), "is not a Workflow"),  # type: ignore[arg-type]
        (lambda: Task(name="a", params=[1]), "is not a dict"),  # type: ignore[arg-type]
        (lambda: Task(name="a", default_priority="urgent"), "critical, high, normal, low"),
        (lambda: Task(name="a", start_date="2026"), "is not a datetime"),
        (
            lambda: Task(workflow=Workflow(name="weaving"), name="a", schedule="0 1 * * *"),
            "give schedule= to the workflow",
        ),
        (lambda: Taskflow().add_task(Task(name="a", schedule="0 0 1 * * *")), "0 0 1"),
        (lambda: Taskflow().add_task(Task(name="a", concurrency=0)), "concurrency"),
        (lambda: Taskflow().add_task(Task(name="a", retries=-1)), "retries"),
        (lambda: Taskflow().add_task(Task(name="a", push_destination="A B")), "not the name of an executor"),
        (lambda: Taskflow().add_task(Task(name="a\0b")), "a"),
        (lambda: Task(name="a").get_new_instance(params=[1]), "is not a dict"),
        (lambda: Task(name="a").get_new_instance(max_attempts=0), "1 or more"),
        (lambda: BashTask(name="a").get_command(), "has no command"),
    ],
)
def test_what_makes_no_sense_says_so(define: Callable[[], Any], why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        define()


def subclass_of_push_worker() -> None:
    class MesosPushWorker(PushWorker):
        push_type = "mesos"


@pytest.mark.parametrize(
    "use",
    [
        subclass_of_push_worker,
        PushWorker,
        lambda: create_app(Taskflow(), "sqlite://", secret_key="x"),
        lambda: Taskflow().add_push_worker(object()),  # type: ignore[arg-type]
        lambda: AWSBatchPushWorker(None).get_job_name(None),
        lambda: Taskflow().pull(None, "worker"),
    ],
)
def test_what_has_no_counterpart_names_the_replacement(use: Callable[[], Any]) -> None:
    with pytest.raises(NotTranslatedError, match=r"has no counterpart in Segue\. \w+"):
        use()


def test_definitions_become_segues(taskflow: Taskflow) -> None:
    workflow = Workflow(name="weaving", concurrency=3, sla=60, schedule="0 4 * * *", start_date=datetime(2030, 1, 1))  # noqa: DTZ001
    first = Task(workflow=workflow, name="a.b", retries=2, retry_delay=900, timeout=None)
    second = Task(workflow=workflow, name="c")
    second.depends_on(first)
    taskflow.add_workflow(workflow)
    third = Task(workflow=workflow, name="late")  # a workflow that was added may still grow
    third.depends_on(second)
    plan = to_plan(workflow.work, NOON)
    assert [(node.name, node.task, node.parents) for node in plan.nodes] == [
        ("a.b", "taskflow.a.b", ()), ("c", "taskflow.c", (0,)), ("late", "taskflow.late", (1,)),
    ]  # fmt: skip
    policy = plan.nodes[0].policy
    assert (policy.retries, policy.retry_delay, policy.retry_factor, policy.retry_jitter) == (2, 900.0, 1.0, 0.0)
    assert (policy.retry_max_delay, policy.timeout) == (900.0, None)
    assert plan.nodes[1].policy.timeout == 300.0
    assert plan.terms is not None
    assert plan.terms.sla is not None
    assert plan.terms.sla.start == 60.0
    assert [limit.concurrency for limit in plan.limits] == [3]
    assert workflow.get_dependencies_graph() == {"a.b": set(), "c": {"a.b"}, "late": {"c"}}
    schedule = workflow.work.schedule
    assert schedule is not None
    assert (schedule.active, schedule.starts_at) == (False, datetime(2030, 1, 1, tzinfo=UTC))
    assert taskflow.get_task("c") is second
    assert taskflow.get_workflow("weaving") is workflow
    with pytest.raises(KeyError):
        taskflow.get_workflow("x")


def test_what_is_pushed_says_where(taskflow: Taskflow) -> None:
    taskflow.add_push_worker(AWSBatchPushWorker(taskflow, default_job_queue="q", default_job_definition="d:1"))
    task = Task(name="far", push_destination="aws_batch", params={"job_definition": "far:7"})
    taskflow.add_task(task)
    [node] = to_plan(task.work, NOON).nodes
    assert (node.executor, node.queue) == ("aws_batch", "@aws_batch")
    options = decode_spec(node.spec).options
    assert (options["queue"], options["definition"]) == ("q", "far:7")
    executors.pop("aws_batch", None)
    with Segue("sqlite:////nowhere/x.db") as segue, pytest.raises(ConfigError, match="no executor has that name"):
        Pusher(taskflow).run(segue)


def test_a_pushed_instance_goes_to_the_executor_of_that_name(taskflow: Taskflow, database_url: str) -> None:
    far = ScriptedPlatform("aws_batch")
    executors["aws_batch"] = far
    task = Task(name="far", push_destination="aws_batch", params={"job_queue": "q"})
    taskflow.add_task(task)
    with Segue(database_url) as segue:
        instance = task.get_new_instance(params={"job_queue": "fast"})
        instance.start(segue)
        assert instance.status == "queued"
        Pusher(taskflow).run(segue)
        assert instance.status == "pushed"
        [job] = far.alive()
        assert decode_spec(job.spec).options == {"queue": "fast"}
        far.succeed(job)
        while instance.status != "success":
            Pusher(taskflow).run(segue)


def test_a_job_definition_is_told_what_it_runs(taskflow: Taskflow) -> None:
    taskflow.add_push_worker(AWSBatchPushWorker(taskflow, default_job_definition="tasks:3"))
    workflow = Workflow(name="weaving")
    Task(workflow=workflow, name="warp", push_destination="aws_batch")
    taskflow.add_workflow(workflow)
    taskflow.add_task(alone := Task(name="weft", push_destination="aws_batch"))
    [node] = to_plan(workflow.work, NOON).nodes
    options = decode_spec(node.spec).options
    assert options["parameters"] == {
        "task": "warp", "task_instance": "{run}.{step}", "workflow": "weaving", "workflow_instance": "{run}"
    }  # fmt: skip
    assert options["environment"]["TASKFLOW_WORKFLOW_INSTANCE_ID"] == "{run}"
    [lone] = to_plan(alone.work, NOON).nodes
    assert decode_spec(lone.spec).options["environment"] == {
        "TASKFLOW_TASK": "weft", "TASKFLOW_TASK_INSTANCE_ID": "{run}.{step}", "TASKFLOW_WORKFLOW": "",
        "TASKFLOW_WORKFLOW_INSTANCE_ID": "",
    }  # fmt: skip


def test_two_schedulers_start_a_tick_once(taskflow: Taskflow, database_url: str) -> None:
    taskflow.add_task(Task(name="each_second", schedule="every second", active=True))
    with Segue(database_url) as segue, Chores(segue.engine), Chores(segue.engine):
        runs: list[Any] = []
        while not runs:
            runs = segue.runs(workflow="taskflow.each_second")
        segue.schedules.deactivate("taskflow.each_second")
        ticks = [tick for tick in segue.schedules.ticks("taskflow.each_second") if tick.run_id is not None]
        assert sorted(str(tick.run_id) for tick in ticks) == sorted(
            run.id for run in segue.runs(workflow="taskflow.each_second")
        )


def test_connection_strings_of_sqlalchemy() -> None:
    assert (
        database_of("postgresql+psycopg2://u:p%40@h:5/d?sslmode=require") == "postgresql://u:p%40@h:5/d?sslmode=require"
    )
    assert database_of("postgres://h/d") == "postgresql://h/d"
    assert database_of("sqlite+pysqlite:////tmp/x.db") == "sqlite:////tmp/x.db"
    with pytest.raises(ConfigError, match="mysql is no database"):
        database_of("mysql+pymysql://h/d")


ENDED = Ended("r.0", "t", None, None, "failed", 1, None, "OSError: away")


def test_monitors_tell_all_and_survive_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(MonitorDestination):
        def task_failed(self, session: None, task_instance: Ended) -> None:
            raise OSError("away")

    class CloudWatch:
        def __init__(self) -> None:
            self.sent: list[tuple[str, Any]] = []

        def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803 - Amazon's
            self.sent += [(each["MetricName"], each.get("Dimensions")) for each in MetricData]

    cloud = CloudWatch()
    monitor = Monitor(destinations=[Broken(), AWSMonitor(client=cloud)])
    monitor.task_failed(None, ENDED)
    monitor.heartbeat_scheduler()
    assert cloud.sent == [
        ("task_failure", None), ("task_failure", [{"Name": "task_name", "Value": "t"}]), ("scheduler_heartbeat", None),
    ]  # fmt: skip
    monkeypatch.delenv("SLACK_WEBHOOK_URL", raising=False)
    with pytest.raises(ConfigError, match="SLACK_WEBHOOK_URL"):
        SlackMonitor()


def test_slack_gets_failures_of_workflows_and_of_tasks_outside() -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    posted: list[bytes] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing: the output is the test's."""

    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        slack = SlackMonitor(f"http://127.0.0.1:{server.server_port}/hook")
        slack.task_failed(None, ENDED)
        slack.task_failed(None, ENDED._replace(workflow_name="weaving"))
        slack.workflow_failed(None, ENDED._replace(task_name=None, workflow_name="weaving"))
        server.shutdown()
    assert posted == [
        b'{"text":"Task t failed (r.0): OSError: away"}', b'{"text":"Workflow weaving failed (r.0): OSError: away"}',
    ]  # fmt: skip
