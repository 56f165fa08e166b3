"""`cli(taskflow)`: the command line of a project's own `main.py`, with Taskflow's commands and options."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec

from segue.client import Segue
from segue.compat.refusing import not_translated
from segue.compat.taskflow.database import VARIABLE, opened
from segue.compat.taskflow.database import init_db as upgrade
from segue.compat.taskflow.processes import Scheduler, Worker, wait
from segue.compat.taskflow.project import Taskflow
from segue.compat.taskflow.rest.app import serve_app
from segue.compat.taskflow.translating import PREFIX
from segue.compat.taskflow.words import PRIORITIES, typed_time
from segue.dispatcher.work import PUSH
from segue.engine.pushing import push_of
from segue.errors import ConfigError, DefinitionError, SegueError
from segue.model import Gate, StepStatus
from segue.observing.observers import Event, observers
from segue.observing.observers import on as observe
from segue.worker.pushed import How, run_pushed
from segue.worker.worker import Worker as SegueWorker

F = TypeVar("F", bound=Callable[..., Any])
_connection = click.option("--sql-alchemy-connection", metavar="URL", help=f"The database. [env: {VARIABLE}]")
_runs = click.option("-n", "--num-runs", type=click.IntRange(min=0), default=10, show_default=True, help="0: no end.")
_sleep = click.option("--sleep", type=click.FloatRange(min=0), default=5.0, show_default=True, help="Seconds each.")
_run_at = click.option("--run-at", metavar="TIME", help="Not before: 2026-11-20T06:00:00, in UTC.")
_priority = click.option("--priority", type=click.Choice(list(PRIORITIES)))
_now = click.option("--now-override", hidden=True)


class _Misuse(click.ClickException):
    exit_code = 2


class _Commands(click.Group):
    """Shows errors of Segue as messages: exit code 2 for what makes no sense, 1 for the rest."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SegueError as error:
            kind = _Misuse if isinstance(error, (ConfigError, DefinitionError)) else click.ClickException
            raise kind(str(error)) from error


def cli(taskflow: Taskflow, args: Sequence[str] | None = None) -> NoReturn:
    """Run the command that the command line names, and exit.

    Example::

        if __name__ == "__main__":
            cli(taskflow)
    """
    if _is_imported_by_segue():
        raise DefinitionError(
            "cli(taskflow) was called while a process of Segue imported the module; call it under "
            "if __name__ == '__main__':"
        )
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    commands(taskflow).main(args=None if args is None else list(args))
    raise SystemExit(0)


def _is_imported_by_segue() -> bool:
    """Whether this is a worker's process, or the command `segue`, and not the project's own script."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return (spec is not None and spec.name.startswith("segue.")) or Path(sys.argv[0]).name == "segue"


def commands(taskflow: Taskflow) -> click.Group:
    """The commands, for a project that adds its own to them."""

    @click.group(cls=_Commands)
    @click.option("--taskflow", "_name", hidden=True)
    def main(_name: str | None) -> None:
        """Run this project's tasks and workflows."""

    for add in (_add_database, _add_processes, _add_queueing, _add_run_task):
        add(main, taskflow)
    return main


def _add_database(main: click.Group, taskflow: Taskflow) -> None:
    @main.command("init_db")
    @_connection
    def init_db(sql_alchemy_connection: str | None) -> None:
        """Make the tables, or update them."""
        upgrade(sql_alchemy_connection)

    main.add_command(init_db, "migrate_db")

    @main.command("api_server")
    @_connection
    @click.option("--host", default="127.0.0.1", show_default=True, help="Other addresses need access tokens.")
    @click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True)
    @click.option("--prod", is_flag=True, hidden=True)  # the server is always the same
    def api_server(sql_alchemy_connection: str | None, host: str, port: int, prod: bool) -> None:
        """Serve Taskflow's REST paths."""
        with _ready(sql_alchemy_connection) as segue:
            serve_app(taskflow, segue, host, port)


def _add_processes(main: click.Group, taskflow: Taskflow) -> None:
    @main.command("scheduler")
    @_connection
    @_runs
    @_sleep
    @click.option("--dry-run", is_flag=True, help="Start nothing; print when each schedule starts something next.")
    @_now
    def scheduler(
        sql_alchemy_connection: str | None, num_runs: int, sleep: float, dry_run: bool, now_override: str | None
    ) -> None:
        """Start what is scheduled and push what is pushed, for NUM_RUNS times SLEEP seconds."""
        of = Scheduler(taskflow, dry_run, _time(now_override))
        with _ready(sql_alchemy_connection) as segue:
            if dry_run:
                click.echo("\n".join(of.upcoming(segue)))
                return
            is_over = threading.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: is_over.set())
            with of.working(segue):
                wait(_seconds(num_runs, sleep), is_over)

    @main.command("pull_worker")
    @_connection
    @_runs
    @_sleep
    @click.option("--task-names", default="", metavar="A,B", help="Only these tasks.")
    @click.option("--worker-id", help="Without effect: workers have ids of their own.")
    @click.option("--dry-run", is_flag=True, hidden=True)
    @_now
    def pull_worker(
        sql_alchemy_connection: str | None, num_runs: int, sleep: float, task_names: str, worker_id: str | None,
        dry_run: bool, now_override: str | None,
    ) -> None:  # fmt: skip
        """Run queued tasks one after another, for NUM_RUNS times SLEEP seconds."""
        if dry_run or now_override is not None:
            not_translated("--dry-run and --now-override of pull_worker", "Look with `segue runs` and `segue explain`.")
        names = [name.strip() for name in task_names.split(",") if name.strip()]
        with _ready(sql_alchemy_connection) as segue:
            Worker(taskflow).work(segue, seconds=_seconds(num_runs, sleep), task_names=names)


def _add_queueing(main: click.Group, taskflow: Taskflow) -> None:
    @main.command("queue_task")
    @click.argument("task_name")
    @_connection
    @_run_at
    @_priority
    @click.option("--params", metavar="JSON", help="An object, for task_instance.params.")
    @click.option("--workflow-instance-id", hidden=True)
    def queue_task(
        task_name: str, sql_alchemy_connection: str | None, run_at: str | None, priority: str | None,
        params: str | None, workflow_instance_id: str | None,
    ) -> None:  # fmt: skip
        """Queue an instance of a task, and print its id."""
        task = taskflow.get_task(task_name)
        if task is None:
            raise ConfigError(_unknown("task", task_name, [task.name for task in taskflow.get_tasks()]))
        instance = task.get_new_instance(
            run_at=_time(run_at, "--run-at"), priority=priority, params=_params(params),
            workflow_instance_id=workflow_instance_id,
        )  # fmt: skip
        with _ready(sql_alchemy_connection) as segue:
            instance.start(segue)
        click.echo(instance.id)

    @main.command("queue_workflow")
    @click.argument("workflow_name")
    @_connection
    @_run_at
    @_priority
    def queue_workflow(
        workflow_name: str, sql_alchemy_connection: str | None, run_at: str | None, priority: str | None
    ) -> None:
        """Queue an instance of a workflow, and print its id."""
        names = [workflow.name for workflow in taskflow.get_workflows()]
        if workflow_name not in names:
            raise ConfigError(_unknown("workflow", workflow_name, names))
        workflow = taskflow.get_workflow(workflow_name)
        instance = workflow.get_new_instance(run_at=_time(run_at, "--run-at"), priority=priority)
        with _ready(sql_alchemy_connection) as segue:
            instance.start(segue)
        click.echo(instance.id)


def _add_run_task(main: click.Group, taskflow: Taskflow) -> None:
    @main.command("run_task")
    @click.argument("task_instance_id")
    @_connection
    @click.option("--worker-id", help="Without effect: workers have ids of their own.")
    def run_task(task_instance_id: str, sql_alchemy_connection: str | None, worker_id: str | None) -> None:
        """Run a queued task instance now, in this process. Exit code 1 if its attempt fails, also if it is retried.

        In a job of a push destination, it runs the instance that was pushed there.
        """
        with _ready(sql_alchemy_connection) as segue:
            sys.exit(_run_task(taskflow, segue, task_instance_id, sql_alchemy_connection))


def _run_task(taskflow: Taskflow, segue: Segue, task_instance_id: str, connection: str | None) -> int:
    run_id, dot, number = task_instance_id.rpartition(".")
    if not dot or not number.isdigit():
        raise ConfigError(
            f"{task_instance_id!r} is not the id of a task instance. It looks like RUN.0: see queue_task."
        )
    run = segue.get(run_id)
    found = [step for step in run.steps(after=int(number) - 1, limit=1) if step.step == int(number)]
    if not found or not (found[0].task or "").startswith(PREFIX):
        raise ConfigError(f"Run {run.id} has no task instance {number}. `segue show {run.id}` lists its steps.")
    [step] = found
    if step.executor is not None:
        with segue.engine.reading() as tx:
            pushed = push_of(tx, (run.id, step.step, step.attempt))
        if pushed is None:
            raise ConfigError(f"The task instance {task_instance_id} waits for the scheduler, which pushes it.")
        how = How(modules=taskflow.modules, exits_like_task=True)
        return run_pushed(os.environ.get(PUSH, pushed[0].id), lambda: opened(connection), how)
    if step.status is not StepStatus.READY:
        raise ConfigError(f"The task instance {task_instance_id} is {step.status}, and only a queued one can be run.")
    if step.gate == Gate.TIMER and step.ready_at is not None:
        raise ConfigError(
            f"The task instance {task_instance_id} is queued for {step.ready_at.isoformat()}, not for now."
        )
    ended: list[str] = []

    def stop_after_it(worker: SegueWorker) -> None:
        def told(event: Event) -> None:
            if (event.run_id, event.step) == (run.id, step.step):
                ended.append(event.kind)
                worker.stop()

        observe("step.succeeded", "step.failed", "step.retrying", "step.cancelled", "step.skipped")(told)

    name = str(step.task).removeprefix(PREFIX)
    Worker(taskflow).work(segue, seconds=None, task_names=[name], until=stop_after_it, run_id=run.id)
    observers.flush()
    if not ended:  # another process took it first
        return 0 if run.step(step.step).info().status is StepStatus.SUCCEEDED else 1
    return 0 if ended[0] == "step.succeeded" else 1


def _ready(connection: str | None) -> Segue:
    segue = opened(connection)
    try:
        with segue.engine.reading():
            return segue  # raises if there is no such database, or it has no tables
    except BaseException:
        segue.close()
        raise


def _params(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ConfigError(f'--params is not JSON: {error}. Write --params \'{{"key": "value"}}\'.') from error
    if not isinstance(found, dict):
        raise ConfigError(f"--params takes an object, such as '{{\"key\": 1}}'; it was given {text[:80]}.")
    return found


def _time(text: str | None, option: str = "--now-override") -> datetime | None:
    return None if text is None else typed_time(option, text)


def _seconds(num_runs: int, sleep: float) -> float | None:
    return None if num_runs == 0 else num_runs * sleep


def _unknown(kind: str, name: str, there_are: list[str]) -> str:
    return f"There is no {kind} {name!r}. There are: {', '.join(sorted(there_are)) or 'none'}."
