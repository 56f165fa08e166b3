"""Taskflow's documents on Segue: tasks, workflows, schedules, commands and monitors, with real workers."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from segue import Run, Segue
from segue.authoring import declared
from segue.compat.refusing import NotTranslatedError
from segue.compat.taskflow import AlreadyQueuedError, Pusher, Scheduler
from segue.compat.taskflow.command import commands
from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.protocol import Mode
from segue.errors import RunFailedError
from segue.testing import ScriptedPlatform
from tests.conftest import a_database
from tests.executors.celery.conftest import wait_until
from tests.executors.compat import taskflow_project as project

# What the project defines is known here only while its tests run: other tests have schedules of their own.
OURS = [
    (
        known,
        {name: known.pop(name) for name in list(known) if name.startswith("taskflow.") or name in ("etl", "narrow")},
    )
    for known in (declared.tasks, declared.workflows)
]
MODULE = project.__name__
ROOT = Path(__file__).parents[3]
SECONDS = 30


class Site(NamedTuple):
    segue: Segue
    folder: Path
    environment: dict[str, str]

    def lines(self, name: str) -> list[str]:
        with suppress(FileNotFoundError):
            return (self.folder / name).read_text().splitlines()
        return []

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the project's main.py, to its end."""
        return subprocess.run(
            [sys.executable, "-m", MODULE, *words], env=self.environment, cwd=ROOT, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip

    def ended(self, run: Run) -> Run:
        return run.wait(timeout=SECONDS)


@contextmanager
def process(site: Site, *command: str, log: str) -> Iterator[None]:
    with (site.folder / log).open("ab") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", *command], env=site.environment, cwd=ROOT, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        started.terminate()
        started.wait(timeout=SECONDS)


def site_at(url: str, folder: Path) -> Site:
    environment = {**os.environ, "COMPAT_FOLDER": str(folder), "SQL_ALCHEMY_CONNECTION": url}
    return Site(Segue(url), folder, environment)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A database, a worker with three children, and the project's own scheduler."""
    folder = tmp_path_factory.mktemp("taskflow")
    with a_database(request.param, request, folder) as url:
        site = site_at(url, folder)
        worker = ("segue", "worker", "-A", MODULE, "-c", "3", "--no-chores", "--database", url)
        with process(site, *worker, log="worker"), process(site, MODULE, "scheduler", "-n", "0", log="scheduler"):
            yield site
        site.segue.close()


@pytest.fixture(autouse=True, scope="module")
def _known() -> Iterator[None]:
    for known, ours in OURS:
        known.update(ours)
    yield
    for known, ours in OURS:
        for name in ours:
            del known[name]


@pytest.fixture
def alone(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """A database without processes."""
    site = site_at(database_url, tmp_path)
    yield site
    site.segue.close()


def task(name: str) -> Any:
    return project.taskflow.get_task(name)


def test_tasks_of_a_workflow_run_in_order_and_monitors_hear_of_it(site: Site) -> None:
    instance = project.etl.get_new_instance(priority="high")
    run = site.ended(instance.start(site.segue))
    assert (run.status, instance.status) == ("succeeded", "success")
    assert {step.name: step.priority for step in run.steps()} == {"extract": 7, "side": 7, "load": 7}
    noted = [line for line in site.lines("noted") if line.startswith(("extract", "side"))]
    assert sorted(noted) == ["extract begins", "extract begins", "extract ends", "side begins", "side ends"]
    [told] = [ast.literal_eval(line) for line in site.lines("told") if run.id in line]
    assert (told["workflow_instance_id"], told["id"]) == (run.id, f"{run.id}.2")
    assert (told["status"], told["priority"], told["scheduled"]) == ("running", "high", False)
    wait_until(lambda: site.lines("monitored").count("success etl") == 2)  # by the destinations, of which one fails
    assert site.lines("monitored").count("retry extract") == 2
    assert "success load of etl" in site.lines("monitored")
    wait_until(lambda: len(site.lines("beats")) >= 2)


def test_an_instance_has_params_and_options_of_its_own(site: Site) -> None:
    made = task("tell").get_new_instance(
        params={"since": "2026-11-20", "deep": [{"a": None}]}, max_attempts=4, timeout=9, retry_delay=1, unique="u"
    )
    run = site.ended(made.start(site.segue))
    [told] = [ast.literal_eval(line) for line in site.lines("told") if run.id in line]
    assert told == {
        "id": f"{run.id}.0", "task_name": "tell", "workflow_instance_id": None, "attempts": 1, "max_attempts": 4,
        "params": {"since": "2026-11-20", "deep": [{"a": None}]}, "priority": "low", "scheduled": False, "unique": "u",
        "timeout": 9.0, "retry_delay": 1.0, "push": False, "status": "running",
    }  # fmt: skip
    assert run.steps()[0].priority == 3
    again = task("tell").get_new_instance(unique="u").start(site.segue)
    assert again.id != run.id
    waiting = task("tell").get_new_instance(unique="w", run_at=datetime.utcnow() + timedelta(hours=1))  # noqa: DTZ003 - as there
    assert waiting.start(site.segue).explain()[0].code == "delayed"
    with pytest.raises(AlreadyQueuedError, match="has not ended"):
        task("tell").get_new_instance(unique="w").start(site.segue)
    waiting.run.cancel()
    assert waiting.status == "dequeued"
    task("tell").get_new_instance(unique="w").start(site.segue)


def overlaps(lines: list[str]) -> bool:
    running = 0
    for line in lines:
        running += 1 if line.endswith("begins") else -1
        if running > 1:
            return True
    return False


def test_concurrency_is_kept(site: Site) -> None:
    runs = [task("one_at_a_time").get_new_instance().start(site.segue) for _ in range(3)]
    runs += [project.narrow.get_new_instance().start(site.segue) for _ in range(3)]
    for run in runs:
        site.ended(run)
    for name in ("one_at_a_time", "narrow_step"):
        lines = [line for line in site.lines("noted") if line.startswith(name)]
        assert len(lines) == 6
        assert not overlaps(lines)


def test_a_task_that_is_cancelled_is_told(site: Site) -> None:
    run = task("slow").get_new_instance().start(site.segue)
    wait_until(lambda: site.lines("slow") == ["begun"], SECONDS)
    run.cancel()
    assert site.ended(run).status == "cancelled"
    assert site.lines("slow") == ["begun", "killed"]


def test_bash_tasks(site: Site) -> None:
    (site.folder / "in put").write_text("a\nb\n")
    assert site.ended(task("count").get_new_instance().start(site.segue)).status == "succeeded"
    assert [word.strip() for word in site.lines("o'ut")] == ["2", "done"]
    broken = site.ended(task("broken_bash").get_new_instance().start(site.segue))
    with pytest.raises(RunFailedError, match="Bash command failed: exit code 3") as failure:
        broken.result()
    assert "bash" in str(failure.value).splitlines()[-1]
    run = task("long_bash").get_new_instance().start(site.segue)
    wait_until(lambda: bool(site.lines("bash_pid")), SECONDS)
    run.cancel()
    site.ended(run)
    with pytest.raises(ProcessLookupError):
        os.kill(int(site.lines("bash_pid")[0]), 0)


def test_what_is_scheduled_is_started_by_one_of_several_schedulers(site: Site) -> None:
    def schedule(name: str) -> Any:
        return {info.name: info for info in site.segue.schedules.list()}.get(name)

    wait_until(lambda: schedule("etl") is not None, SECONDS)
    assert schedule("etl").is_active is False
    found = schedule("taskflow.tell_scheduled")
    assert (found.is_active, found.expression, found.timezone, found.overlap) == (
        True,
        "30 4 * * *",
        "UTC",
        "queue_one",
    )
    run = site.ended(site.segue.schedules.run_now("taskflow.tell_scheduled"))
    assert [ast.literal_eval(line)["scheduled"] for line in site.lines("told") if run.id in line] == [True]
    shown = site.run("scheduler", "--dry-run")
    assert "etl: not active" in shown.stdout
    assert "tell_scheduled: 20" in shown.stdout


def test_a_failure_that_is_final_is_no_matter_of_its_monitors(site: Site) -> None:
    run = site.ended(task("fails").get_new_instance().start(site.segue))
    assert (run.status, len(run.attempts())) == ("failed", 2)
    wait_until(lambda: "one destination is away" in (site.folder / "worker").read_text())


def typed(site: Site, *words: str) -> str:
    """A command in this process; what it printed."""
    done = CliRunner().invoke(commands(project.taskflow), words, env=site.environment)
    assert done.exit_code == 0, done.output
    return str(done.output).strip()


def test_commands_queue_and_pull(alone: Site) -> None:
    typed(alone, "migrate_db")
    queued = typed(alone, "queue_task", "tell", "--params", '{"x": [1, "é"]}', "--priority", "critical")
    other = typed(alone, "queue_task", "fails")
    workflow = typed(alone, "queue_workflow", "etl", "--run-at", "2099-01-01T00:00:00")
    pulled = alone.run("pull_worker", "-n", "1", "--sleep", "2", "--task-names", "tell, load", "--worker-id", "w")
    assert pulled.returncode == 0, pulled.stderr
    [told] = [ast.literal_eval(line) for line in alone.lines("told")]
    assert (told["params"], told["priority"], told["id"]) == ({"x": [1, "é"]}, "critical", queued)
    assert alone.segue.get(other.partition(".")[0]).status == "pending"
    assert (
        "not for now"
        in CliRunner().invoke(commands(project.taskflow), ["run_task", f"{workflow}.0"], env=alone.environment).output
    )
    assert alone.segue.get(workflow).explain()[0].code == "delayed"
    assert alone.run("run_task", other).returncode == 1
    assert alone.segue.get(other.partition(".")[0]).steps()[0].failures == 1


PUSHED = """
from segue.compat.taskflow import Taskflow, Task, cli

class Greet(Task):
    def execute(self, task_instance):
        print("hello", task_instance.params["name"], flush=True)
        if task_instance.params["name"] == "nobody":
            raise ValueError("whom?")

taskflow = Taskflow()
taskflow.add_task(Greet(name="greet", push_destination="mesos"))
if __name__ == "__main__":
    cli(taskflow)
"""


def test_a_job_of_a_push_destination_runs_its_task(alone: Site) -> None:
    """`run_task ID` is what the jobs of Taskflow's push workers call."""
    (alone.folder / "pushing_project.py").write_text(PUSHED)
    environment = {**alone.environment, "PYTHONPATH": str(alone.folder)}

    def main(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pushing_project", *words], env=environment, cwd=alone.folder, capture_output=True,
            text=True, timeout=SECONDS, check=False,
        )  # fmt: skip

    far = ScriptedPlatform("mesos")
    far.mode = Mode.DATABASE
    params = ['{"name": "Ada"}', '{"name": "nobody"}']
    queued = [main("queue_task", "greet", "--params", given).stdout.strip() for given in params]
    assert "waits for the scheduler" in main("run_task", queued[0]).stderr
    Dispatcher(alone.segue.engine, far).run_once()
    assert len(far.alive()) == 2
    ended = [main("run_task", task_id) for task_id in queued]
    assert [done.returncode for done in ended] == [0, 1]
    assert "hello Ada" in ended[0].stdout
    runs = [alone.segue.get(task_id.partition(".")[0]) for task_id in queued]
    assert [run.status for run in runs] == ["succeeded", "failed"]
    assert main("run_task", queued[0]).returncode == 82


def test_a_script_that_calls_cli_when_it_is_imported_says_so(alone: Site) -> None:
    script = alone.folder / "unguarded.py"
    script.write_text("from segue.compat.taskflow import Taskflow, cli\ncli(Taskflow())\n")
    for command in ([str(script), "pull_worker", "-n", "1"], ["-m", "segue", "worker", "-A", "unguarded"]):
        environment = {**alone.environment, "SEGUE_DATABASE_URL": alone.segue.url, "PYTHONPATH": str(alone.folder)}
        done = subprocess.run(
            [sys.executable, *command], env=environment, cwd=alone.folder, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert "call it under if __name__ == '__main__':" in done.stderr


def test_what_starts_late_is_reported(alone: Site) -> None:
    run = task("prompt").get_new_instance().start(alone.segue)
    time.sleep(0.25)
    Scheduler(project.taskflow).run(alone.segue)
    alone.segue.engine.ring_alarms()
    assert [event.kind for event in alone.segue.events.list(run.id)] == ["step.late_start"]


def test_one_round_in_this_process_declares_and_starts(alone: Site) -> None:
    Scheduler(project.taskflow).run(alone.segue)
    assert Pusher(project.taskflow).run(alone.segue) == 0
    assert Scheduler(project.taskflow, dry_run=True).run(alone.segue)[0] == "etl: not active"
    for refused in (
        lambda: Scheduler(project.taskflow, now_override=datetime(2020, 1, 1)),  # noqa: DTZ001 - as there
        lambda: Scheduler(project.taskflow).run(object()),
        lambda: Pusher(project.taskflow).run(object()),
        lambda: project.taskflow.sync_db(object()),
        lambda: task("tell").get_new_instance(status="running"),
        lambda: task("tell").get_new_instance(workflow_instance_id="7").start(alone.segue),
        lambda: task("tell").get_new_instance().start(object()),
        lambda: task("tell").next_run(),
        lambda: task("tell").last_run(),
        lambda: task("tell").get_new_instance().fail(object(), project.taskflow),
        lambda: Scheduler(project.taskflow).queue_task(object()),
        lambda: Pusher(project.taskflow).sync_task_states(object()),
    ):
        with pytest.raises(NotTranslatedError, match=r"has no counterpart in Segue\. "):
            refused()


@pytest.mark.parametrize(
    "words, why",
    [
        (("queue_task", "tel"), "There is no task 'tel'"),
        (("queue_workflow", "tell"), "There is no workflow 'tell'"),
        (("queue_task", "tell", "--params", "{"), "--params is not JSON"),
        (("queue_task", "tell", "--params", "[1]"), "takes an object"),
        (("queue_task", "tell", "--params", '{"a": ' * 2000 + "1" + "}" * 2000), "--params is not JSON"),
        (("queue_task", "tell", "--params", '{"a": NaN}'), "--params is not JSON"),
        (("queue_task", "tell", "--run-at", "tomorrow"), "takes a time"),
        (("queue_task", "tell", "--run-at", "2999-01-01T00:00:00"), "36,525 days"),
        (("queue_task", "tell", "--workflow-instance-id", "7"), "has no counterpart"),
        (("pull_worker", "--task-names", "tell,nobody"), "There is no task 'nobody'"),
        (("run_task", "7"), "is not the id of a task instance"),
        (("scheduler", "--now-override", "2020-01-01T00:00:00"), "has no counterpart"),
        (("api_server", "--port", "x"), "not a valid integer range"),
        (("queue_task", "tell", "--sql-alchemy-connection", "mysql://u@h/d"), "mysql is no database"),
        (("init_db", "--sql-alchemy-connection", "what"), "what"),
        (("init_db", "--sql-alchemy-connection", "postgresql+psycopg2://u:secret@127.0.0.1:1/d"), "127.0.0.1"),
    ],
)
def test_commands_say_what_is_wrong(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    environment = {"SQL_ALCHEMY_CONNECTION": f"sqlite+pysqlite:///{tmp_path}/x.db"}
    done = CliRunner().invoke(commands(project.taskflow), words, env=environment)
    assert why in done.output
    assert "secret" not in done.output
    assert done.exit_code in (1, 2)
    assert "Traceback" not in done.output
