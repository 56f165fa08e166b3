"""What every cluster must do: on the stand-in, and with `make test-cluster` on one of your own."""

from __future__ import annotations

import os

import pytest

from segue import Run
from segue.testing import POLLED_CASES, PolledCase, check_polled
from tests.executors.kubernetes.cluster_tasks import REAL
from tests.executors.kubernetes.conftest import Bench


def error_of(run: Run) -> tuple[str, str]:
    error = run.steps()[0].error
    assert error is not None
    return error.type, error.message


def test_results_and_errors_of_commands(any_bench: Bench) -> None:
    bench, sh, words, start = any_bench, any_bench.tasks.sh, any_bench.tasks.words, any_bench.start
    runs = {
        "exit": start(sh("echo hello; echo again")),
        "json": start(sh('printf \'{{"rows": 3}}\' > "$SEGUE_RESULT"', result="json")),
        "none": start(sh("true", result="json")),
        "large": start(sh('head -c 5000 /dev/zero | tr "\\0" 7 > "$SEGUE_RESULT"', result="json")),
        "line": start(sh("echo first; echo '[1, 2]'", result="last_line")),
        "words": start(words(["printf", "%s,", "$HOME $(SEGUE_RUN) $$", "{each}"], each=["a b", "c"])),
        "variables": start(sh('echo "$A $SEGUE_ATTEMPT"', env={"A": "$(B) $5"})),
        "shell": start(bench.tasks.shell.s("cd /; pwd; echo {x}", x="it's", executor="k8s", cwd="/tmp")),
        "three": start(sh("echo no; exit 3", retries=1, retry_delay=0.1)),
        "allowed": start(sh("exit 3", check=False)),
        "killed": start(sh("kill -9 $$")),
        "late": start(sh("sleep 60", timeout=1)),
        "absent": start(bench.tasks.words(["/no/such/program"], retries=3)),
        "refused": start(sh("true", push={"colour": "red"})),
    }  # fmt: skip
    bench.finish(*runs.values(), seconds=240)
    results = {name: run.result() for name, run in runs.items() if run.status == "succeeded"}
    assert results == {
        "exit": {"exit_code": 0, "output": "hello\nagain\n"},
        "json": {"rows": 3},
        "line": [1, 2],
        "words": {"exit_code": 0, "output": "$HOME $(SEGUE_RUN) $$,a b,c,"},
        "variables": {"exit_code": 0, "output": "$(B) $5 1\n"},
        "shell": {"exit_code": 0, "output": "/\nit's\n"},
        "allowed": {"exit_code": 3, "output": ""},
    }
    errors = {name: error_of(run) for name, run in runs.items() if run.status != "succeeded"}
    assert {name: kind for name, (kind, _) in errors.items()} == {
        "none": "ResultError", "large": "ResultTooLargeError", "three": "ContainerError", "killed": "ContainerError",
        "late": "TimeoutError", "absent": "PushRefusedError", "refused": "PushRefusedError",
    }  # fmt: skip
    assert "no\n" in errors["three"][1]
    assert "4,095 bytes" in errors["large"][1]
    assert (runs["three"].steps()[0].attempt, runs["absent"].steps()[0].attempt) == (2, 1)
    assert runs["exit"].attempts()[0].output == "hello\nagain\n"


def test_a_cancel_ends_the_process(any_bench: Bench) -> None:
    bench = any_bench
    polite, stubborn = (
        bench.start(bench.tasks.sh("exec sleep 300")),
        bench.start(bench.tasks.sh("trap '' TERM; while true; do sleep 0.2; done")),
    )
    bench.until(lambda: bench.is_running(polite) and bench.is_running(stubborn))
    assert "of 'k8s'" in bench.reason(polite)
    polite.cancel()
    stubborn.cancel()
    bench.finish(polite, stubborn)
    assert (polite.status, stubborn.status) == ("cancelled", "cancelled")
    assert list(bench.executor.strays()) == []


def test_another_dispatcher_goes_on(any_bench: Bench) -> None:
    bench = any_bench
    run = bench.start(bench.tasks.sh("sleep 2; echo done"))
    bench.until(lambda: run.steps()[0].handle)
    bench.renew()
    bench.finish(run)
    assert (run.result()["output"], run.steps()[0].attempt) == ("done\n", 1)


def test_a_job_that_is_deleted_by_hand_is_lost(any_bench: Bench) -> None:
    bench = any_bench
    run = bench.start(bench.tasks.sh("sleep 300", lost_retries=0))
    bench.until(lambda: bench.is_running(run))
    namespace, _, name = str(run.steps()[0].handle).rpartition("/")
    bench.executor._cluster.remove(namespace, name)
    bench.finish(run)
    assert (run.status, run.steps()[0].losses) == ("failed", 1)


def test_the_output_of_what_runs(any_bench: Bench) -> None:
    bench = any_bench
    run = bench.start(bench.tasks.sh("echo so far; sleep 300"))
    bench.until(lambda: bench.is_running(run))
    bench.until(lambda: bench.executor.read_output(bench.push_of(run)) == "so far\n")
    run.cancel()
    bench.finish(run)


@pytest.mark.parametrize("case", POLLED_CASES)
def test_the_contract_of_executors_that_are_polled(any_bench: Bench, case: PolledCase) -> None:
    check_polled(any_bench.segue, any_bench.executor, case, image=any_bench.tasks.IMAGE)


@pytest.mark.skipif(REAL not in os.environ, reason="it names a cluster of your own")
def test_nothing_is_left(any_bench: Bench) -> None:
    """The Jobs of these tests are removed from a real cluster."""
    any_bench.remove_all()
