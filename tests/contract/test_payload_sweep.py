"""Payloads that no run uses any more are deleted, and no others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from segue.cli.root import segue as command
from segue.client.payloads import StoredPayloads
from segue.engine import chores
from segue.engine.chores import delete_runs
from segue.engine.payload_uses import look_for_unused
from segue.engine.reopening.fork import fork_run
from segue.errors import ConfigError, PayloadMissingError
from segue.model import Outcome, Verdict
from segue.payloads import FilePayloads, Payloads
from segue.payloads.moving import moved
from segue.plan.frames import opened
from segue.plan.payload_frames import PayloadRef, payload_of
from segue.scheduler.chores import CHORES
from segue.scheduler.payload_sweep import sweep_batch, sweep_payloads
from tests.contract.stage import Stage, expanded, node, plan

pytestmark = pytest.mark.contract

DAY = 24 * 3600.0


@pytest.fixture
def files(tmp_path: Path) -> FilePayloads:
    return FilePayloads(tmp_path / "payloads")


@pytest.fixture
def payloads(stage: Stage, files: FilePayloads) -> Payloads:
    stage.engine.payloads = Payloads(files, threshold=8192, clock=stage.clock)
    return stage.engine.payloads


def text_of(letter: str) -> str:
    return f'"{letter * 20_000}"'


def ref_of(frame_text: str) -> PayloadRef:
    frame = opened(frame_text)
    assert frame is not None
    found = payload_of(frame)
    assert found is not None
    return found


def run_with(stage: Stage, payloads: Payloads, letter: str, *, steps: int = 1) -> tuple[str, PayloadRef]:
    """A run that has ended, whose first step has such a result."""
    frame = payloads.keep(text_of(letter))
    run_id = stage.start(plan(*[node(f"s{number}") for number in range(steps)]))
    stage.work({"s0": lambda job: Outcome(job.run_id, job.step, job.attempt, Verdict.SUCCEEDED, frame)})
    return run_id, ref_of(frame)


def delete(stage: Stage, *run_ids: str) -> None:
    assert stage.engine.act(lambda act: delete_runs(act.tx, run_ids)) == len(run_ids)


def swept(stage: Stage) -> int:
    """How many payloads a whole sweep deletes."""
    deleted, looked_at = 0, 1
    while looked_at:
        looked_at, now = sweep_batch(stage.engine)
        deleted += now
    return deleted


def is_there(payloads: Payloads, ref: PayloadRef) -> bool:
    try:
        payloads.text_of(ref)
    except PayloadMissingError:
        return False
    return True


def test_it_is_deleted_with_its_last_run(stage: Stage, payloads: Payloads) -> None:
    first, ref = run_with(stage, payloads, "a")
    second, same = run_with(stage, payloads, "a")
    _, kept = run_with(stage, payloads, "b")
    assert ref == same != kept
    stage.advance(3 * DAY)
    assert swept(stage) == 0
    delete(stage, first)
    assert swept(stage) == 0
    assert is_there(payloads, ref)
    delete(stage, second)
    assert swept(stage) == 1
    assert not is_there(payloads, ref)
    assert is_there(payloads, kept)
    assert swept(stage) == 0
    assert StoredPayloads(stage.engine).count() == (1, 20_002, 0)


def test_the_same_contents_may_come_again_while_they_have_the_same_name(stage: Stage, payloads: Payloads) -> None:
    run_id, ref = run_with(stage, payloads, "a")
    delete(stage, run_id)
    for _ in range(47):
        stage.advance(3600)
        assert swept(stage) == 0
    assert is_there(payloads, ref)
    run_id, other = run_with(stage, payloads, "a")  # of the second day: another name
    assert other.reference != ref.reference
    stage.advance(3601)
    assert swept(stage) == 1
    assert not is_there(payloads, ref)
    assert is_there(payloads, other)


def test_an_outcome_that_comes_late_keeps_it(stage: Stage, payloads: Payloads) -> None:
    """Its worker waited for the database, while the run that used the same was deleted."""
    run_id, ref = run_with(stage, payloads, "a")
    late = stage.start(plan(node("s0")))
    [job] = stage.claim()
    delete(stage, run_id)
    stage.advance(DAY)
    stage.turn(Outcome(job.run_id, job.step, job.attempt, Verdict.SUCCEEDED, ref.text))
    stage.advance(30 * DAY)
    assert swept(stage) == 0
    assert is_there(payloads, ref)
    delete(stage, late)
    assert swept(stage) == 1


def test_an_outcome_of_a_run_that_is_gone_leaves_no_use(stage: Stage, payloads: Payloads) -> None:
    run_id = stage.start(plan(node("s0")))
    [job] = stage.claim()
    stage.cancel(run_id)
    stage.turn(cancels=True)
    stage.turn(Outcome(job.run_id, job.step, job.attempt, Verdict.CANCELLED))
    delete(stage, run_id)
    frame = payloads.keep(text_of("a"))
    assert stage.turn(Outcome(job.run_id, job.step, job.attempt, Verdict.SUCCEEDED, frame)).refused == 1
    assert stage.is_sound()
    stage.advance(3 * DAY)
    assert swept(stage) == 1
    assert not is_there(payloads, ref_of(frame))


def test_a_payload_in_use_is_looked_at_once(stage: Stage, payloads: Payloads) -> None:
    run_with(stage, payloads, "a")
    stage.advance(3 * DAY)
    assert sweep_batch(stage.engine) == (1, 0)
    assert sweep_batch(stage.engine) == (0, 0)


def test_arguments_and_plans_are_uses(stage: Stage, payloads: Payloads) -> None:
    large = plan(node("s0", args=f'[[1,{text_of("p")}],{{"name":{text_of("q")}}}]'), name="large")
    run_id = stage.start(moved(large, payloads))
    into = moved(plan(node("inner", args=f"[[{text_of('r')}],{{}}]"), node("other")), payloads)
    stage.work({"s0": lambda job: expanded(job, into)})
    assert StoredPayloads(stage.engine).count().payloads == 3
    stage.advance(3 * DAY)
    assert swept(stage) == 0
    delete(stage, run_id)
    assert swept(stage) == 3


@pytest.mark.parametrize("is_large", [False, True])
def test_a_fork_keeps_it(stage: Stage, payloads: Payloads, monkeypatch: pytest.MonkeyPatch, is_large: bool) -> None:
    if is_large:
        monkeypatch.setattr("segue.engine.reopening.run_graph.LARGE_RUN", 2)
    run_id, ref = run_with(stage, payloads, "a", steps=4)
    fork = stage.engine.new_id()
    stage.engine.act(fork_run, run_id, new_id=fork, step="s1", parameters=lambda _: None)
    stage.engine.finish(fork)
    delete(stage, run_id)
    stage.advance(3 * DAY)
    assert swept(stage) == 0
    assert is_there(payloads, ref)
    stage.cancel(fork)
    delete(stage, fork)
    assert swept(stage) == 1


def test_a_large_run_is_deleted_in_portions(
    stage: Stage, payloads: Payloads, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    run_id, ref = run_with(stage, payloads, "a", steps=6)
    monkeypatch.setattr(chores, "STEPS_AT_ONCE", 4)
    delete(stage, run_id)
    while stage.engine.act(chores.delete_steps):
        pass
    stage.advance(3 * DAY)
    assert swept(stage) == 1
    assert not is_there(payloads, ref)


def test_a_sweep_that_died_is_done_again(
    stage: Stage, payloads: Payloads, files: FilePayloads, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    run_id, ref = run_with(stage, payloads, "a")
    delete(stage, run_id)
    stage.advance(3 * DAY)
    assert stage.engine.act(look_for_unused).unused == [ref.reference]  # and dies
    files.delete([ref.reference])  # and dies
    assert swept(stage) == 1
    assert StoredPayloads(stage.engine).count() == (0, 0, 0)


def test_the_store_may_fail_and_nothing_is_forgotten(
    stage: Stage, payloads: Payloads, files: FilePayloads, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    run_id, ref = run_with(stage, payloads, "a")
    delete(stage, run_id)
    stage.advance(3 * DAY)

    def refuse(_: object) -> None:
        raise OSError("away")

    monkeypatch.setattr(files, "delete", refuse)
    with pytest.raises(OSError, match="away"):
        swept(stage)
    monkeypatch.undo()
    assert StoredPayloads(stage.engine).count().unused == 1
    assert swept(stage) == 1
    assert not is_there(payloads, ref)


def test_without_a_store_nothing_is_forgotten(stage: Stage, payloads: Payloads) -> None:
    run_id, _ = run_with(stage, payloads, "a")
    delete(stage, run_id)
    stage.advance(3 * DAY)

    class Shelf:
        def store(self, data: bytes, name: str) -> str:
            return name

        def retrieve(self, reference: str) -> bytes:
            return b""

    for other in (None, Payloads(Shelf())):
        stage.engine.payloads = other
        assert swept(stage) == 0
    stage.engine.payloads = None
    assert StoredPayloads(stage.engine).count().unused == 1
    with pytest.raises(ConfigError, match="SEGUE_PAYLOADS"):
        StoredPayloads(stage.engine).sweep()
    stage.engine.payloads = payloads
    assert StoredPayloads(stage.engine).sweep(grace=timedelta(days=10)) == 0
    assert StoredPayloads(stage.engine).sweep() == 1


def test_the_leader_does_it() -> None:
    assert [chore.act for chore in CHORES if chore.name == "payloads"] == [sweep_payloads]


def test_what_no_run_has_used_is_found(stage: Stage, payloads: Payloads, files: FilePayloads) -> None:
    _, ref = run_with(stage, payloads, "a")
    stray = ref_of(payloads.keep(text_of("z")))  # its process dies before its commit
    held = StoredPayloads(stage.engine)
    now = max(file.stat().st_mtime for file in files.folder.rglob("*") if file.is_file())
    stage.clock.set(stage.clock.now().fromtimestamp(now + 2 * DAY - 60, tz=stage.clock.now().tzinfo))
    assert held.strays() == []
    stage.advance(120)
    assert held.strays() == [stray.reference]
    assert held.delete_strays(held.strays()) == 1
    assert held.strays() == []
    assert is_there(payloads, ref)


def test_on_the_command_line(stage: Stage, payloads: Payloads, files: FilePayloads) -> None:
    run_with(stage, payloads, "a")

    def say(*words: str) -> str:
        environment = {"SEGUE_DATABASE_URL": stage.store.url, "SEGUE_PAYLOADS": files.url}
        result = CliRunner().invoke(command, ["payloads", *words], env=environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert say("count") == "1 payload of 0.0 MiB, 0 used by no run\n"
    assert say("count", "--json") == '{"payloads":1,"bytes":20002,"unused":0}\n'
    assert say("sweep") == "0 payloads deleted\n"
    assert say("sweep", "--strays", "--list") == ""
    assert say("sweep", "--json") == '{"deleted":0,"strays":[]}\n'
