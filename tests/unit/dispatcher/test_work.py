"""What a platform runs for a step, and how the end of a command is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from segue.authoring.container import ContainerError
from segue.dispatcher.meaning import outcome_of
from segue.dispatcher.protocol import Cause, Collected, Phase, Push, RefusedError, Sighting, Submission
from segue.dispatcher.work import Command, ResultFrom, command_of, is_command, with_values, work_of
from segue.errors import PayloadError
from segue.model import Job, Outcome, Verdict
from segue.payloads.files import FilePayloads
from segue.payloads.keeping import Payloads
from segue.plan.pushed import PushSpec, Resources, encode_spec

PUSH = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", ("run", 3, 2))
RUN_STEP = ("segue", "run-step", "--push", PUSH.id)


def job(task: str, *args: Any, **kwargs: Any) -> Job:
    return Job("run", 3, 2, "step", task, msgspec.json.encode([args, kwargs]).decode(), None, {}, 60.0)


def work(made: Job, spec: PushSpec | None = None) -> Any:
    return work_of(Submission(PUSH, made, encode_spec(spec or PushSpec())), run_step=RUN_STEP)


def test_a_task_runs_segue_with_its_resources_and_who_it_is() -> None:
    found = work(job("shop.fold", 1), PushSpec(Resources(cpu=4), {"queue": "long"}))
    assert (found.words, found.resources.cpu, found.options, found.timeout) == (RUN_STEP, 4, {"queue": "long"}, 60.0)
    assert found.command is None
    assert found.environment == {
        "SEGUE_RUN": "run", "SEGUE_STEP": "3", "SEGUE_ATTEMPT": "2", "SEGUE_IDEMPOTENCY_KEY": "run:3",
        "SEGUE_PUSH": PUSH.id,
    }  # fmt: skip


def test_a_shell_command_is_filled_from_results_and_quoted() -> None:
    made = job("segue.shell", command="gzip {path}", values={"path": "a b"}, env={"LEVEL": "9"})
    found = work(made)
    assert found.words == ("/bin/sh", "-c", "gzip 'a b'")
    assert found.environment["LEVEL"] == "9"
    assert found.command == Command(is_container=False)


def test_the_words_of_a_container_are_filled_without_quotes() -> None:
    made = job(
        "segue.container", {"db": "nr"}, image="blast:2", values={"paths": ["a b", "c"], "n": 7},
        command=["blastp", "-db", "{db}", "{paths}", "x={n:03d}"], secrets={"TOKEN": "blast/token"}, result="last_line",
    )  # fmt: skip
    found = work(made)
    assert found.words == ("blastp", "-db", "nr", "a b", "c", "x=007")
    assert (found.image, found.secrets, found.command.result) == ("blast:2", {"TOKEN": "blast/token"}, "last_line")
    assert is_command(made)
    assert command_of(made.args).result is ResultFrom.LAST_LINE
    assert command_of("damaged") == Command()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"command": ["a", "{missing}"]},
        {"command": ["a", "{x.__class__}"], "values": {"x": 1}},
        {"command": ["a", "{x}"], "values": {"x": "a\0b"}},
        {"command": ["a", "{x:>99999999999999999999999}"], "values": {"x": 1}},
        {"command": [1]},
        {"command": ["a"], "env": {"A": "a\0b"}},
        {"command": ["a"], "env": {"A": [1]}},
        {"command": ["a"], "env": ["A"]},
        {"command": ["a"], "env": {"A; rm": "1"}},
        {"command": ["a"], "env": {"A": "1"}, "secrets": {"A": "b/c"}},
        {"command": ["a"], "secrets": {"SEGUE_RUN": "b/c"}},
        {"command": ["a"], "cwd": 7},
        {"command": None},
        {},
    ],
)
def test_a_command_that_cannot_be_filled_is_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        work(job("segue.container", image="i", **kwargs))


def test_what_ran_out_of_memory_gets_more() -> None:
    spec = PushSpec(Resources(memory="8GiB", memory_factor=2, memory_max="20GiB"))
    memory = [
        work_of(Submission(PUSH, job("shop.fold"), encode_spec(spec), count), run_step=RUN_STEP).resources.memory_bytes
        for count in range(4)
    ]
    assert memory == [8 * 2**30, 16 * 2**30, 20 * 2**30, 20 * 2**30]


def test_values_in_a_payload_store_are_fetched(tmp_path: Path) -> None:
    store = Payloads(FilePayloads(str(tmp_path)))
    made = msgspec.structs.replace(job("segue.shell", command="x"), values={2: store.keep('{"a":[1]}')})
    assert with_values(made, store).values == {2: '{"a":[1]}'}
    with pytest.raises(PayloadError, match="no payload store"):
        with_values(made, None)


def judged(code: int, command: Command, output: str = "", result: bytes | None = None, **more: Any) -> Outcome:
    sighting = Sighting(PUSH.id, Phase.ENDED, cause=Cause.EXIT, exit_code=code)
    collected = Collected(output=output, result=result)
    return outcome_of(PUSH, sighting, collected, command=command, **{"was_cancelled": False, **more})


def test_the_result_of_a_command() -> None:
    assert judged(0, Command(), "done\n").result == '{"exit_code":0,"output":"done\\n"}'
    assert judged(3, Command(check=False)).result == '{"exit_code":3,"output":""}'
    assert judged(0, Command(ResultFrom.JSON), result=b' {"a": 1}\n').result == '{"a":1}'
    assert judged(0, Command(ResultFrom.LAST_LINE), "x\n[1]\n\n").result == "[1]"
    assert judged(0, Command(ResultFrom.NOTHING), "x").result == "null"


def test_a_command_that_failed_or_left_no_result() -> None:
    failed = judged(3, Command(), "no such file")
    assert failed.error is not None
    assert (failed.verdict, failed.error.type) == (Verdict.FAILED, ContainerError.__name__)
    assert "exit code 3" in failed.error.message
    assert "no such file" in failed.error.message
    for broken in (
        judged(0, Command(ResultFrom.JSON)),
        judged(0, Command(ResultFrom.JSON), result=b"{"),
        judged(0, Command(ResultFrom.LAST_LINE), "\n"),
        judged(0, Command(ResultFrom.LAST_LINE), "done"),
    ):
        assert (broken.verdict, broken.error is not None and broken.error.type) == (Verdict.FAILED, "ResultError")


def test_a_command_that_was_asked_to_end() -> None:
    assert judged(143, Command(), was_cancelled=True).verdict == Verdict.CANCELLED
    assert judged(0, Command(), was_cancelled=True).verdict == Verdict.SUCCEEDED
