"""Containers of AWS Batch and ECS: moto's server, whose containers are processes of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segue import Resources, Run, container, shell, task
from segue.dispatcher.protocol import BusyError, Push, RefusedError, Submission
from segue.dispatcher.registry import executors
from segue.executors.aws import AWSBatch
from segue.model import Job
from tests.executors.aws.conftest import Bench
from tests.servers.batch import ROLE

SECRET = "geheim-4711"
PUT = """python -c 'import os, urllib.request as u
url = os.environ["SEGUE_RESULT_URL"].replace("s3:/", os.environ["SERVER"])
u.urlopen(u.Request(url, data=b"[1, 2]", method="PUT", headers=dict([("Content-Type", "text/plain")])))'"""


def error_of(run: Run) -> tuple[str, str]:
    error = run.steps()[0].error
    assert error is not None
    return error.type, error.message


def test_results_and_errors_of_containers(make_bench: Callable[..., Bench], kind: str) -> None:
    """One heap of jobs, because each of them takes a moment to begin."""
    bench = make_bench(kind)
    bench = make_bench(kind, results=f"s3://{bench.aws.bucket}/results/")
    start, at = bench.segue.start, {"executor": bench.name}
    words = ["sh", "-c", 'echo "$0 $SEGUE_ATTEMPT"; echo 42', "{word}"]
    runs = {
        "words": start(container("busybox", words, word="got it", **at)),
        "line": start(container("busybox", words, word="got it", result="last_line", **at)),
        "shell": start(shell("echo got {word}; pwd", word="a b", cwd="/tmp", **at)),
        "json": start(container("busybox", PUT, env={"SERVER": bench.aws.url}, result="json", **at)),
        "broken": start(container("busybox", "echo why; exit 3", retries=1, retry_delay=0.1, **at)),
        "kept": start(container("busybox", ["sh", "-c", "exit 3"], check=False, **at)),
        "greedy": start(container("busybox", ["python", "-c", "x = bytearray(100 * 2**20); input()"],
                                  resources=Resources(memory="30MiB"), **at)),
        "missing": start(container("missing/image", ["true"], retries=2, **at)),
        "no program": start(container("busybox", ["/no/such"], retries=2, **at)),
        "spot": start(container("spot/image", ["sleep", "60"], lost_retries=1, **at)),
        "busy registry": start(container("busy/image", ["true"], lost_retries=0, **at)),
        "vast": start(shell("true", resources=Resources(cpu=64), **at)),
        "unknown": start(shell("true", push={"colour": "red"}, **at)),
        "long": start(shell("echo {text}", text="x" * 40_000, **at)),
    }  # fmt: skip
    bench.finish(*runs.values())
    assert runs["words"].result() == {"exit_code": 0, "output": "got it 1\n42\n"}
    assert runs["line"].result() == 42
    assert runs["shell"].result()["output"] == "got a b\n/tmp\n"
    assert runs["json"].result() == [1, 2]
    assert error_of(runs["broken"])[0] == "ContainerError"
    assert "exit code 3; its output ends with:\nwhy" in error_of(runs["broken"])[1]
    assert [attempt.output for attempt in runs["broken"].attempts()] == ["why\n", "why\n"]
    assert runs["kept"].result() == {"exit_code": 3, "output": ""}
    assert error_of(runs["greedy"])[0] == "OutOfMemoryError"
    assert error_of(runs["missing"])[0] == "PushRefusedError"
    assert "pull access denied" in error_of(runs["missing"])[1]
    assert runs["missing"].steps()[0].attempt == 1
    assert "CannotStartContainerError" in error_of(runs["no program"])[1]
    assert (runs["spot"].steps()[0].attempt, runs["spot"].steps()[0].losses) == (2, 2)
    assert "Host EC2" in error_of(runs["spot"])[1] or "Spot" in error_of(runs["spot"])[1]
    assert "toomanyrequests" in error_of(runs["busy registry"])[1]
    assert "no size with cpu=64" in error_of(runs["vast"])[1]
    assert "colour" in error_of(runs["unknown"])[1]
    assert "the command alone has 40" in error_of(runs["long"])[1]


@pytest.fixture(params=["batch", "ecs"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kind", ["batch", pytest.param("ecs", marks=pytest.mark.proof)])
def test_no_secret_is_written_anywhere(make_bench: Callable[..., Bench], kind: str, sqlite_url: str) -> None:
    first = make_bench(kind)
    arn = first.aws.client("secretsmanager").create_secret(Name=f"token-{kind}", SecretString=SECRET)["ARN"]
    bench = make_bench(kind)
    seen = "import os, subprocess as s; t = os.environ['TOKEN']; print([len(t), int(t in s.getoutput('ps -eo args'))])"
    run = bench.segue.start(
        container("busybox", ["python", "-c", seen], secrets={"TOKEN": arn}, executor=bench.name, result="last_line")
    )  # fmt: skip
    bench.finish(run)
    assert run.result() == [len(SECRET), 0]
    said = json.dumps(bench.jobs(), default=str)
    if kind == "batch":
        [job] = bench.aws.client("batch").describe_jobs(jobs=[run.steps()[0].handle])["jobs"]
        said += json.dumps(job)
        said += json.dumps(bench.aws.client("batch").describe_job_definitions(status="ACTIVE")["jobDefinitions"])
    else:
        for task_arn in bench.aws.client("ecs").list_task_definitions()["taskDefinitionArns"]:
            said += json.dumps(bench.aws.client("ecs").describe_task_definition(taskDefinition=task_arn), default=str)
    assert arn in said
    assert SECRET not in said
    folder = Path(sqlite_url.removeprefix("sqlite:///")).parent
    written = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    assert arn.encode() in written
    assert SECRET.encode() not in written


def test_a_cancel_ends_the_container(bench: Bench) -> None:
    run = bench.segue.start(shell("echo begun; sleep 60", executor=bench.name))
    bench.until(lambda: bench.is_running(run))
    push = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", (run.id, 0, 1), run.steps()[0].handle)
    while bench.executor.read_output(push) != "begun\n":
        time.sleep(0.05)
    run.cancel()
    bench.finish(run)
    assert run.status == "cancelled"
    said = json.dumps(bench.jobs(), default=str)
    assert "segue: asked to end" in said
    bench.executor.cancel([push, push._replace(external_id="unknown")], hard=True)


@pytest.mark.proof
def test_a_container_that_somebody_ends_is_lost_and_tried_again(bench: Bench) -> None:
    run = bench.segue.start(shell("[ $SEGUE_ATTEMPT = 2 ] || sleep 60", executor=bench.name))
    bench.until(lambda: bench.is_running(run))
    handle = run.steps()[0].handle
    if bench.name == "batch":
        bench.aws.client("batch").terminate_job(jobId=handle, reason="no budget")
    else:
        bench.aws.client("ecs").stop_task(cluster="jobs", task=handle, reason="no budget")
    bench.finish(run)
    assert (run.status, run.steps()[0].attempt, run.steps()[0].losses) == ("succeeded", 2, 1)
    assert "no budget" in str(run.attempts()[0].error)


@pytest.mark.parametrize("what", ["cut", pytest.param("fail", marks=pytest.mark.proof)])
def test_a_submission_whose_reply_is_lost_is_found(bench: Bench, what: str) -> None:
    before = len(bench.jobs())
    bench.aws.fault("submitjob" if bench.name == "batch" else "runtask", what=what, times=3)
    runs = [bench.segue.start(shell(f"echo {number}; sleep 1", executor=bench.name)) for number in range(4)]
    bench.finish(*runs)
    assert [run.result()["output"] for run in runs] == [f"{number}\n" for number in range(4)]
    assert [run.steps()[0].attempt for run in runs] == [1] * 4
    assert len(bench.jobs()) == before + 4


def test_a_task_that_ended_before_it_was_found_is_the_same_task(make_bench: Callable[..., Bench]) -> None:
    """ECS does not find stopped tasks by name. The token does."""
    bench = make_bench("ecs")
    bench.aws.fault("runtask", what="cut")
    before = len(bench.jobs())
    run = bench.segue.start(shell("echo once", executor="ecs"))
    bench.finish(run)
    assert (run.result()["output"], len(bench.jobs())) == ("once\n", before + 1)


@pytest.mark.proof
def test_a_job_in_a_queue_that_this_process_does_not_know_is_found(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.aws.fault("submitjob", what="cut")
    before = len(bench.jobs())
    run = bench.segue.start(shell("sleep 1", executor="batch", push={"queue": "others"}))
    bench.until(lambda: len(bench.jobs()) > before)
    bench = make_bench()
    bench.finish(run)
    assert (run.status, run.steps()[0].attempt, len(bench.jobs())) == ("succeeded", 1, before + 1)


@pytest.mark.proof
def test_when_amazon_asks_for_patience_steps_wait(bench: Bench) -> None:
    """No attempt is counted, and the calls become fewer."""
    action = "submitjob" if bench.name == "batch" else "runtask"
    bench.aws.fault(action, what="throttle", times=2)
    runs = [bench.segue.start(shell("true", executor=bench.name)) for _ in range(3)]
    bench.dispatcher.run_once()
    assert bench.executor._submits.rate == 5.0
    said = [reason.text for run in runs for reason in run.explain()]
    assert any("Too Many Requests" in text for text in said)
    bench.finish(*runs)
    assert {run.steps()[0].attempt for run in runs} == {1}


@pytest.mark.proof
def test_more_than_amazon_takes_only_waits(make_bench: Callable[..., Bench]) -> None:
    """Five calls a second are taken, and twenty are sent at first."""
    bench = make_bench(arrays=False)
    bench.aws.fault("submitjob", rate=5)
    runs = [bench.segue.start(shell("true", executor="batch")) for _ in range(40)]
    before = bench.aws.calls().get("submitjob", 0)
    bench.finish(*runs)
    assert {(run.status, run.steps()[0].attempt) for run in runs} == {("succeeded", 1)}
    assert bench.aws.calls()["submitjob"] - before < 80


def test_definitions_are_registered_once(bench: Bench) -> None:
    register = "registerjobdefinition" if bench.name == "batch" else "registertaskdefinition"
    image = f"busybox:{time.time_ns()}"
    before = bench.aws.calls().get(register, 0)
    runs = [
        bench.segue.start(container(image, ["echo", "{n}"], n=str(number), executor=bench.name)) for number in range(5)
    ]
    bench.finish(*runs)
    bench.executor._definitions._known.clear()  # as another process would begin
    last = bench.segue.start(container(image, ["true"], executor=bench.name))
    bench.finish(last)
    assert last.status == "succeeded"
    assert bench.aws.calls()[register] == before + 1


@pytest.mark.proof
def test_a_definition_that_somebody_removed_is_registered_again(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(image=f"busybox:{time.time_ns()}")
    bench.finish(bench.segue.start(shell("true", executor="batch")))
    [arn] = bench.executor._definitions._known.values()
    bench.aws.client("batch").deregister_job_definition(jobDefinition=arn)
    run = bench.segue.start(shell("true", executor="batch"))
    bench.finish(run)
    assert run.status == "succeeded"


def test_a_definition_that_exists_is_used_as_it_is(make_bench: Callable[..., Bench]) -> None:
    """Its own command runs, with the parameters that the step gives."""
    bench = make_bench(image=None, definition="own")
    bench.aws.client("batch").register_job_definition(
        jobDefinitionName="own", type="container", retryStrategy={"attempts": 5},
        containerProperties={
            "image": "own", "command": ["sh", "-c", "echo ran $0 $SEGUE_STEP; exit 3", "Ref::instance"],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
        },
    )  # fmt: skip
    instance = task(executor="batch", push={"definition": "own", "parameters": {"instance": "{run}.{step}"}})(_never)
    run, plain = bench.segue.start(instance.s()), bench.segue.start(shell("echo plain", executor="batch"))
    bench.finish(run, plain)
    assert error_of(run)[0] == "ProcessDiedError"
    assert run.attempts()[0].output == f"ran {run.id}.0 0\n"
    assert plain.result()["output"] == "plain\n"


def _never() -> None:
    """Runs in the container, if at all."""


def test_what_waits_in_vain_is_ended(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(misconfigured_seconds=0.5)
    run = bench.segue.start(container("stuck/image", ["true"], retries=2, executor="batch"))
    bench.until(lambda: "MISCONFIGURATION" in " ".join(reason.text for reason in run.explain()))
    bench.finish(run)
    assert error_of(run)[0] == "PushRefusedError"
    assert "it waited in vain" in error_of(run)[1]
    assert run.steps()[0].attempt == 1


@pytest.mark.proof
def test_ecs_tasks_have_a_limit_of_time(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("ecs")
    run = bench.segue.start(shell("echo so far; sleep 60", timeout=1, executor="ecs"))
    bench.finish(run)
    assert error_of(run)[0] == "TimeoutError"
    assert run.attempts()[0].output == "so far\n"


@pytest.mark.proof
def test_a_dispatcher_that_is_killed_loses_nothing(make_bench: Callable[..., Bench], sqlite_url: str) -> None:
    """Real processes, killed again and again while jobs are submitted and followed."""
    bench = make_bench(arrays=False)
    runs = [bench.segue.start(shell(f"echo {n}; sleep 0.3", executor="batch")) for n in range(30)]
    before = len(bench.jobs())
    command = [sys.executable, "-m", "segue", "dispatcher", "-A", "tests.executors.aws.killed_app", "--database",
               sqlite_url]  # fmt: skip
    environment = {**os.environ, "TEST_AWS_URL": bench.aws.url}
    for _ in range(5):
        known = len(bench.jobs())
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while len(bench.jobs()) < min(known + 4, before + 30) and time.monotonic() < deadline:
            pass
        process.kill()
        process.wait()
    bench.finish(*runs)
    assert [run.result()["output"] for run in runs] == [f"{n}\n" for n in range(30)]
    assert {(run.steps()[0].attempt, run.steps()[0].losses) for run in runs} == {(1, 0)}
    assert len(bench.jobs()) == before + 30


@pytest.mark.proof
def test_strays_are_ended(make_bench: Callable[..., Bench], kind: str) -> None:
    """A second job of one push, as if a submission had arrived after it was searched for in vain."""
    bench = make_bench(kind)
    run = bench.segue.start(shell("sleep 60", executor=bench.name))
    bench.until(lambda: bench.is_running(run))
    handle = run.steps()[0].handle
    [(push_id, _)] = [(one.push_id, one) for one in bench.executor.strays() if one.external_id == handle]
    push = Push(push_id, (run.id, 0, 1))
    job = Job(run.id, 0, 1, "shell", "segue.shell", '[[],{"command":"sleep 60","values":{}}]', None, {}, None)
    if kind == "ecs":
        bench.executor.settings = bench.executor.settings  # the token makes a second one impossible
        assert bench.executor.submit(Submission(push, job, None)) == handle
        run.cancel()
        bench.finish(run)
        return
    second = bench.executor.submit(Submission(push, job, None))
    assert {one.external_id for one in bench.executor.strays() if one.push_id == push_id} == {handle, second}
    assert bench.executor.find([push]) == {push_id: handle}
    bench.renew()
    bench.until(lambda: all(one.external_id != second for one in bench.executor.strays()))
    assert bench.is_running(run)
    run.cancel()
    bench.finish(run)


@pytest.mark.proof
def test_a_platform_that_is_away_changes_nothing(make_bench: Callable[..., Bench], kind: str) -> None:
    bench = make_bench(kind)
    run = bench.segue.start(shell("sleep 2", executor=bench.name))
    bench.until(lambda: bench.is_running(run))
    url, bench.executor._clients._endpoint_url = bench.aws.url, "http://127.0.0.1:9"
    bench.executor._clients._made.clear()
    bench.until(lambda: bench.dispatcher.blind_since is not None)
    later = bench.segue.start(shell("true", executor=bench.name))
    bench.dispatcher.run_once()
    assert (run.steps()[0].losses, later.status.is_final) == (0, False)
    bench.executor._clients._endpoint_url = url
    bench.executor._clients._made.clear()
    bench.finish(run)
    assert (run.status, run.steps()[0].attempt, bench.dispatcher.blind_since) == ("succeeded", 1, None)


@pytest.mark.proof
def test_what_may_not_be_done_says_so(make_bench: Callable[..., Bench], kind: str) -> None:
    bench = make_bench(kind)
    bench.aws.fault("submitjob" if kind == "batch" else "runtask", what="deny")
    denied = bench.segue.start(shell("true", executor=bench.name))
    bench.finish(denied)
    assert error_of(denied)[0] == "PushRefusedError"
    assert "not authorized" in error_of(denied)[1]
    bench.aws.fault("getlogevents", what="deny")
    unread = bench.segue.start(shell("echo hidden", executor=bench.name))
    bench.finish(unread)
    assert "logs:GetLogEvents is missing" in unread.result()["output"]


def test_nothing_is_sent_when_nothing_can_be(aws: object) -> None:
    executor = AWSBatch("nowhere", queue="jobs", image="busybox", execution_role=ROLE, region="eu-west-1",
                        endpoint_url="http://127.0.0.1:9")  # fmt: skip
    job = Job("r", 0, 1, "shell", "segue.shell", '[[],{"command":"true","values":{}}]', None, {}, None)
    push = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", ("r", 0, 1))
    with pytest.raises(BusyError, match="Could not connect"):
        executor.submit(Submission(push, job, None))
    task_job = Job("r", 0, 1, "n", "shop.fold", "[[],{}]", None, {}, None)
    with pytest.raises(RefusedError, match="database_secret"):
        executor.submit(Submission(push, task_job, None))
    executors.clear()
