"""Steps as Jobs of the stand-in: what goes wrong with a cluster, one thing after the other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segue.dispatcher.protocol import Push, RefusedError, Submission
from segue.model import Job
from tests.executors.kubernetes.conftest import Bench
from tests.servers.kubernetes import KubernetesStandIn, running_kubernetes
from tests.servers.kubernetes_kubelet import has_memory_limits

WAIT = "until [ -e {} ]; do sleep 0.05; done; echo done"


def error_of(run: object) -> tuple[str, str]:
    step = run.steps()[0]  # type: ignore[attr-defined]
    return step.error.type, step.error.message


def job_of(run: object) -> str:
    return str(run.steps()[0].handle).rpartition("/")[2]  # type: ignore[attr-defined]


def test_secrets_are_in_no_row_manifest_or_list_of_processes(bench: Bench, standin: KubernetesStandIn) -> None:
    standin.make_secret("blast", namespace="jobs", token="geheim-7")
    run = bench.start(bench.tasks.sh('echo "${{#TOKEN}}"; sleep 1', secrets={"TOKEN": "blast/token"}))
    bench.until(lambda: bench.is_running(run))
    processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.parent.exists()]
    assert not [words for words in processes if b"geheim-7" in words]
    bench.finish(run)
    assert run.result()["output"] == "8\n"
    assert "geheim-7" not in json.dumps(standin.jobs("jobs"))
    database = Path(bench.segue.url.removeprefix("sqlite:///"))
    assert not [path for path in database.parent.glob(f"{database.name}*") if b"geheim-7" in path.read_bytes()]


def test_memory_that_is_used_up(bench: Bench) -> None:
    greedy = bench.tasks.words(
        [sys.executable, "-c", "bytearray(300 * 2**20)"], resources=bench.tasks.Resources(memory="60MiB")
    )
    run = bench.start(greedy)
    bench.finish(run)
    assert error_of(run)[0] == ("OutOfMemoryError" if has_memory_limits() else "ContainerError")


@pytest.mark.parametrize(
    "fault",
    [
        {"lose": 1}, {"refuse": 1, "code": 429}, {"refuse": 1, "code": 500},
        pytest.param({"refuse": 1, "code": 503}, marks=pytest.mark.proof),
        pytest.param({"jobs": 0}, marks=pytest.mark.proof),  # it waits a quarter of a minute
    ],
)  # fmt: skip
def test_a_creation_that_fails_is_made_good(bench: Bench, standin: KubernetesStandIn, fault: dict[str, int]) -> None:
    before = len(standin.jobs("jobs"))
    standin.fault(only="POST", **fault)
    run = bench.start(bench.tasks.sh("true"))
    if "jobs" in fault:
        bench.until(lambda: "exceeded quota" in bench.reason(run))
        standin.fault(jobs=None)
    bench.finish(run)
    assert (run.status, run.steps()[0].attempt) == ("succeeded", 1)
    assert len(standin.jobs("jobs")) == before + 1


def test_the_same_push_twice_is_one_job(bench: Bench, standin: KubernetesStandIn) -> None:
    command = '[[],{"image":"busybox","command":["true"]}]'
    job = Job("r", 0, 1, "n", "segue.container", command, None, {}, None)
    push = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", ("r", 0, 1))
    first = bench.executor.submit(Submission(push, job, None))
    assert bench.executor.submit(Submission(push, job, None)) == first == f"jobs/{push.name}"
    assert bench.executor.find([push]) == {push.id: first}
    standin.fault(refuse=1, code=403, only="POST")
    other = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2c", ("r", 1, 1))
    with pytest.raises(RefusedError):
        bench.executor.submit(Submission(other, job, None))
    assert bench.executor.find([push, other]) == {push.id: first}


@pytest.mark.parametrize("reason", ["EvictionByEvictionAPI", "TerminationByKubelet"])
def test_a_pod_that_is_evicted_is_lost_and_tried_again(
    bench: Bench, standin: KubernetesStandIn, tmp_path: Path, reason: str
) -> None:
    run = bench.start(bench.tasks.sh(WAIT.format(tmp_path / "go")))
    bench.until(lambda: bench.is_running(run))
    standin.fault(do="disrupt", namespace="jobs", name=job_of(run), reason=reason)
    bench.until(lambda: run.steps()[0].losses == 1)
    (tmp_path / "go").touch()
    bench.finish(run)
    assert (run.status, run.steps()[0].attempt, run.steps()[0].failures) == ("succeeded", 2, 0)


def test_an_image_that_cannot_be_pulled_is_explained_and_then_fails(bench: Bench, standin: KubernetesStandIn) -> None:
    run = bench.start(bench.tasks.sh("true", image="missing/tool:1", retries=3))
    bench.until(lambda: "not found" in bench.reason(run))
    bench.finish(run)
    kind, message = error_of(run)
    assert (kind, run.steps()[0].attempt) == ("PushRefusedError", 1)
    assert 'failed to pull image "missing/tool:1": not found' in message
    assert job_of(run) not in {job["metadata"]["name"] for job in standin.jobs("jobs")}


def test_what_waits_is_explained_and_goes_on(bench: Bench, standin: KubernetesStandIn) -> None:
    standin.fault(unschedulable="0/3 nodes are available: 3 Insufficient memory.")
    vast = bench.start(bench.tasks.sh("true"))
    queued = bench.start(bench.tasks.sh("true", push={"queue": "night"}))
    unset = bench.start(bench.tasks.sh("echo $A", secrets={"A": "later/a"}))
    bench.until(lambda: "3 Insufficient memory" in bench.reason(vast) and "admitted" in bench.reason(queued))
    standin.fault(unschedulable="")
    bench.until(lambda: 'secret "later" not found' in bench.reason(unset))
    standin.make_secret("later", namespace="jobs", a="1")
    standin.fault(do="admit", namespace="jobs", name=job_of(queued))
    bench.finish(vast, queued, unset)
    assert {run.status for run in (vast, queued, unset)} == {"succeeded"}


def test_a_step_of_another_namespace(bench: Bench, standin: KubernetesStandIn) -> None:
    there = bench.start(bench.tasks.sh("true", push={"namespace": "others"}))
    nowhere = bench.start(bench.tasks.sh("true", push={"namespace": "kube-system"}))
    bench.finish(there, nowhere)
    assert (there.status, error_of(nowhere)[0]) == ("succeeded", "PushRefusedError")
    assert "is not watched" in error_of(nowhere)[1]
    assert job_of(there) in {job["metadata"]["name"] for job in standin.jobs("others")}


def test_a_watch_that_is_too_old_begins_anew(bench: Bench, standin: KubernetesStandIn, tmp_path: Path) -> None:
    run = bench.start(bench.tasks.sh(WAIT.format(tmp_path / "go")))
    bench.until(lambda: bench.is_running(run))
    standin.fault(do="compact")
    (tmp_path / "go").touch()
    bench.finish(run)
    assert (run.status, run.steps()[0].losses) == ("succeeded", 0)


def test_a_cluster_that_is_away_changes_nothing(make_bench: Callable[[str], Bench], tmp_path: Path) -> None:
    with running_kubernetes() as cluster:
        bench = make_bench(cluster.kubeconfig)
        run = bench.start(bench.tasks.sh(WAIT.format(tmp_path / "go")))
        bench.until(lambda: bench.is_running(run))
        cluster.fault(no_lists=True, do="compact")
        cluster.fault(no_lists=True)
        bench.until(lambda: bench.dispatcher.blind_since is not None)
        assert (run.steps()[0].status, run.steps()[0].losses) == ("running", 0)
        cluster.fault(no_lists=False)
        (tmp_path / "go").touch()
        bench.finish(run)
        assert (run.status, run.steps()[0].losses) == ("succeeded", 0)
    later = bench.start(bench.tasks.sh("true"))
    bench.until(lambda: "does not answer" in bench.reason(later))
    assert not later.status.is_final


def test_a_machine_that_says_nothing_is_given_up(bench: Bench, standin: KubernetesStandIn, tmp_path: Path) -> None:
    run = bench.start(bench.tasks.sh(WAIT.format(tmp_path / "go")))
    bench.until(lambda: bench.is_running(run))
    standin.fault(node_is_away=True)
    standin.fault(do="disrupt", namespace="jobs", name=job_of(run), reason="DeletionByTaintManager")
    bench.until(lambda: run.steps()[0].losses == 1)
    standin.fault(node_is_away=False)
    (tmp_path / "go").touch()
    bench.finish(run)
    assert (run.status, run.steps()[0].attempt) == ("succeeded", 2)


def test_a_queue_that_takes_a_place_away_loses_the_attempt(bench: Bench, standin: KubernetesStandIn) -> None:
    """Otherwise its command would run a second time under the same number."""
    run = bench.start(bench.tasks.sh("sleep 60", push={"queue": "night"}, lost_retries=0))
    bench.until(lambda: run.steps()[0].handle)
    standin.fault(do="admit", namespace="jobs", name=job_of(run))
    bench.until(lambda: bench.is_running(run))
    [pod] = standin.get(f"api/v1/namespaces/jobs/pods?labelSelector=job-name%3D{job_of(run)}")["items"]
    standin.fault(do="suspend", namespace="jobs", name=job_of(run), pods=[pod["metadata"]["name"]])
    bench.finish(run)
    assert (run.status, run.steps()[0].losses) == ("failed", 1)
    assert "took its place away" in error_of(run)[1]


def test_a_limit_of_the_time_to_begin_removes_the_job(bench: Bench, standin: KubernetesStandIn) -> None:
    standin.fault(unschedulable="0/3 nodes are available: 3 Insufficient memory.")
    run = bench.start(bench.tasks.sh("true", push={"begin_seconds": 1}))
    bench.finish(run)
    assert error_of(run)[0] == "PushRefusedError"
    assert "did not begin within 1 s: Unschedulable: 0/3 nodes are available" in error_of(run)[1]
    assert job_of(run) not in {job["metadata"]["name"] for job in standin.jobs("jobs")}


def test_tasks_report_into_the_database_by_themselves(bench: Bench, standin: KubernetesStandIn) -> None:
    """The URL comes from a Secret, and is in no Job and no list of processes."""
    standin.make_secret("segue", namespace="jobs", url=bench.segue.url)
    tasks = bench.tasks
    long = bench.start(tasks.long.s())
    runs = [bench.start(each) for each in (tasks.double.s(21), tasks.broken.s())]
    bench.finish(*runs)
    assert runs[0].result() == 42
    assert error_of(runs[1]) == ("ValueError", "of the task")
    assert runs[1].steps()[0].attempt == 2
    bench.until(lambda: bench.is_running(long))
    assert bench.segue.url not in json.dumps(standin.jobs("jobs"))
    processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.parent.exists()]
    assert [words for words in processes if b"run-step" in words]
    assert not [words for words in processes if b"run-step" in words and bench.segue.url.encode() in words]
    long.cancel()
    bench.finish(long)
    assert long.status == "cancelled"


@pytest.mark.proof
def test_a_dispatcher_that_is_killed_loses_nothing(bench: Bench, standin: KubernetesStandIn) -> None:
    """Real processes, killed again and again while Jobs are made and followed."""
    before = len(standin.jobs("jobs"))
    runs = [bench.start(bench.tasks.sh("sleep 0.2; echo {n}", n=number)) for number in range(40)]
    command = [sys.executable, "-m", "segue", "dispatcher", "-A", "tests.executors.kubernetes.cluster_tasks",
               "--database", bench.segue.url, "--json"]  # fmt: skip
    for round_ in range(1, 4):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["executors"] == ["k8s"]
        while len(standin.jobs("jobs")) < before + 10 * round_:
            assert process.poll() is None
        process.kill()
        process.wait()
        process.stdout.close()
    bench.finish(*runs)
    assert [run.result()["output"] for run in runs] == [f"{number}\n" for number in range(40)]
    assert {(run.steps()[0].attempt, run.steps()[0].losses) for run in runs} == {(1, 0)}
    assert len(standin.jobs("jobs")) == before + 40


@pytest.mark.proof
def test_what_is_left_of_a_step_is_a_stray(bench: Bench) -> None:
    """As if a dispatcher had recorded the end of an attempt, and its Job went on."""
    run = bench.start(bench.tasks.sh("sleep 300"))
    bench.until(lambda: bench.is_running(run))
    [stray] = bench.executor.strays()
    assert stray == (bench.push_of(run).id, run.steps()[0].handle)
    bench.executor.cancel([Push(stray.push_id, ("", 0, 0), stray.external_id)], hard=True)
    bench.until(lambda: run.steps()[0].losses == 1)
    bench.until(lambda: stray not in list(bench.executor.strays()))
    run.cancel()
    bench.finish(run)


@pytest.mark.proof
def test_a_quota_of_pods_is_explained_by_events(bench: Bench, standin: KubernetesStandIn) -> None:
    standin.fault(pods=0)
    run = bench.start(bench.tasks.sh("true"))
    bench.until(lambda: "FailedCreate" in bench.reason(run) and "exceeded quota" in bench.reason(run))
    standin.fault(pods=None)
    bench.finish(run)
    assert run.status == "succeeded"


@pytest.mark.proof
def test_watches_end_when_nobody_asks(bench: Bench) -> None:
    tasks = bench.tasks
    executor = tasks.Kubernetes(
        "idle", kubeconfig=bench.kubeconfig, terms=tasks.Terms(watch=1.0, unused=0.5, again=0.1), namespace="others"
    )
    assert list(executor.strays()) == []
    watches = executor._cluster.copies("others").jobs
    end = time.monotonic() + 20
    while watches._thread.is_alive():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert list(executor.strays()) == []
    executor.close()
