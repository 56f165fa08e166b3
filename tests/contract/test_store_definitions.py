"""What versions of the code define: written once, whoever comes at once, and kept as long as somebody has that code."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest

from segue.engine import definitions
from segue.engine.definitions import LIVE_FOR, VERSIONS_KEPT, prune_code_versions, tell_code, write_code_version
from segue.engine.identity import WorkerIdentity
from segue.engine.views.definitions import DefinitionInfo, list_code_versions, list_definitions
from segue.engine.views.look import list_workers
from segue.plan.code_version import CodeVersion, WorkDefinition
from tests.contract.stage import LEASE_SECONDS, TASK, Stage, node, plan


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def defined(name: str, *, kind: Any = "task", module: str = "app", **fields: Any) -> WorkDefinition:
    said = {"title": name, "description": "", "parameters": "{}", "result": "{}", "options": "{}", "code_hash": "0"}
    return WorkDefinition(kind=kind, name=name, module=module, qualname=name, **(said | fields))


def version(number: int, *names: str) -> CodeVersion:
    return CodeVersion(f"{number:016x}", tuple(defined(name) for name in names))


def write(stage: Stage, code: CodeVersion) -> bool:
    return stage.engine.act(write_code_version, code)


def known(stage: Stage, **chosen: Any) -> list[DefinitionInfo]:
    with stage.engine.reading() as tx:
        return list_definitions(tx, stage.store.now(), **chosen)


def versions(stage: Stage) -> list[str]:
    with stage.engine.reading() as tx:
        return [each.version for each in list_code_versions(tx, stage.store.now())]


def hire(stage: Stage, code: CodeVersion) -> str:
    """A worker with this code, as it registers."""
    id_ = stage.engine.new_id()
    identity = stage.hire("with code", tasks=[each.name for each in code.definitions])
    stage.engine.unregister(identity)
    stage.engine.register(
        type(identity)(id_, "worker", ("default",), identity.tasks, LEASE_SECONDS), pool="thread", concurrency=1,
        version="0", code_version=code.version,
    )  # fmt: skip
    write(stage, code)
    return id_


def spied(act: Any, said: list[str]) -> Any:
    """A transaction that notes the statements that run in it."""
    run_all: Callable[..., Any] = act.tx.all
    run_each: Callable[..., Any] = act.tx.each

    def all_(statement: str, **parameters: Any) -> Any:
        said.append(statement)
        return run_all(statement, **parameters)

    def each(statement: str, rows: Any) -> None:
        said.append(statement)
        run_each(statement, rows)

    return SimpleNamespace(tx=SimpleNamespace(all=all_, each=each), now=act.now)


def test_a_version_that_is_known_costs_one_statement(stage: Stage) -> None:
    code = version(1, "a", "b")
    said: list[str] = []
    for _ in range(2):
        stage.engine.act(lambda act: write_code_version(spied(act, said), code))
        stage.advance(1)
    assert said == ["touch_code_version", "put_definitions", "touch_code_version"]


def test_it_is_written_once_and_reads_as_it_was_written(stage: Stage) -> None:
    said = defined(
        "shop.mail", kind="workflow", module="shop.tasks", title="Mail", description="Two\nlines", code_hash="abc",
        parameters='{"type":"object"}', result='{"type":"null"}', options='{"queue":"net"}', problem="no",
    )  # fmt: skip
    code = CodeVersion("v1", (said,))
    assert write(stage, code) is True
    stage.advance(1)
    assert write(stage, code) is False
    [info] = known(stage)
    assert info == DefinitionInfo(
        kind="workflow", name="shop.mail", title="Mail", description="Two\nlines", parameters={"type": "object"},
        result={"type": "null"}, options={"queue": "net"}, module="shop.tasks", qualname="shop.mail", code_hash="abc",
        problem="no", version="v1", is_live=True,
    )  # fmt: skip
    assert known(stage, version="v") == [info]
    assert known(stage, version="other") == known(stage, version="") == []


def test_many_that_write_at_once_write_each_version_once_and_whole(stage: Stage) -> None:
    codes = [version(number, *[f"task{index}" for index in range(20)]) for number in range(3)]
    with stage.store.transaction():
        pass  # makes the tables
    at_once = Barrier(9)

    def begin(number: int) -> bool:
        at_once.wait()
        return write(stage, codes[number % 3])

    with ThreadPoolExecutor(9) as threads:
        new = list(threads.map(begin, range(9)))
    assert sum(new) >= 3  # the clock stands still, so those that come second may write the same rows again
    for code in codes:
        assert len(known(stage, version=code.version)) == 20


def test_the_newest_live_version_says_what_a_name_is(stage: Stage) -> None:
    old, new = version(9, "both", "old"), version(1, "both", "new")
    worker = hire(stage, old)
    stage.advance(1)
    hire(stage, new)
    stage.advance(1)
    found = {info.name: info.version for info in known(stage)}
    assert found == {"both": new.version, "old": old.version, "new": new.version}
    with stage.engine.reading() as tx:
        assert {each.code_version for each in list_workers(tx)} == {old.version, new.version}
        first = next(each for each in list_workers(tx) if each.code_version == old.version)
    assert first.id == worker


def test_when_nobody_lives_the_newest_version_is_told(stage: Stage) -> None:
    for number in (3, 2):
        write(stage, version(number, f"of{number}"))
        stage.advance(1)
    stage.advance(LIVE_FOR.total_seconds())
    [info] = known(stage)
    assert (info.name, info.is_live) == ("of2", False)


def test_a_version_is_kept_while_a_live_worker_has_it(stage: Stage) -> None:
    kept = version(0, "kept")
    worker = hire(stage, kept)
    for number in range(1, VERSIONS_KEPT + 5):
        stage.advance(1)
        write(stage, version(number, "a"))

    identity = WorkerIdentity(worker, "worker", ("default",), (), LEASE_SECONDS)

    def prune_later() -> int:
        stage.advance(timedelta(hours=2).total_seconds())
        stage.engine.renew(identity)
        return stage.engine.act(prune_code_versions)

    assert prune_later() == 4
    assert kept.version in versions(stage)
    assert len(versions(stage)) == VERSIONS_KEPT + 1
    stage.engine.unregister(identity)
    assert prune_later() == 1
    assert kept.version not in versions(stage)
    assert len(versions(stage)) == VERSIONS_KEPT
    assert prune_later() == 0


def test_a_version_that_was_just_seen_is_not_pruned(stage: Stage) -> None:
    for number in range(VERSIONS_KEPT + 5):
        write(stage, version(number))
        stage.advance(60)
    assert stage.engine.act(prune_code_versions) == 0


def test_what_cannot_be_written_is_logged_and_stops_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert tell_code(stage.engine, version(1, "a")) is True

    def broken(*_: Any) -> bool:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(definitions, "write_code_version", broken)
    assert tell_code(stage.engine, version(2, "a")) is False
    assert "the disk is full" in caplog.text


# What explain says ---------------------------------------------------------------------------------------------------


def reason(stage: Stage) -> str:
    [found] = stage.explain(stage.start(plan(node("a"))))
    assert found.code == "unknown_task"
    return found.text


def test_a_step_whose_task_nobody_ever_defined_says_so(stage: Stage) -> None:
    hire(stage, version(1, "app.other"))
    assert "no live worker defines it, and no known version of the code did (was it renamed?)" in reason(stage)


def test_a_step_names_the_module_that_defined_its_task_last(stage: Stage) -> None:
    for number, module in ((1, "app.first"), (2, "app.second")):
        write(stage, CodeVersion(f"{number}" * 16, (defined(TASK, module=module),)))
        stage.advance(60)
    hire(stage, version(3, "app.other"))
    text = reason(stage)
    assert "The module app.second did in version 22222222 of the code, last seen at 2026-01-01 00:01:00 UTC" in text
    assert text.endswith("start one with -A app.second")


def test_a_step_says_on_which_queue_its_task_is_known(stage: Stage) -> None:
    stage.hire("elsewhere", queues=("mail", "net"))
    stage.hire("here", tasks=["app.other"])
    assert reason(stage).endswith(
        f"knows the task {TASK!r}; a worker on 'mail', 'net' does: start one with --queue default"
    )
