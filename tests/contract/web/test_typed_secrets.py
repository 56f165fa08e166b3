"""The secrets in what people type into reasons, notes and values are hidden, and names are short, in all operations."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect
from starlette.testclient import TestClient

from segue import Segue
from segue.web import Identity, create_app
from segue.web.operations import OPERATIONS, Operation
from tests.contract.stage import connect
from tests.contract.web.filling import CANARY, ORDINARY, Filled, fill, known, paths

pytestmark = pytest.mark.contract

SECRET = f"it said password={CANARY}"
NAMES = frozenset({"key", "name", "step", "tag", "tags", "without", "work", "workflow", "workflows", "scopes"})
"""What is found by its text again, and so is shown as it is."""

CHANGING = [each for each in OPERATIONS.values() if each.changes]


@pytest.fixture
def segue(tmp_path: Path) -> Iterator[Segue]:
    with Segue(f"sqlite:///{tmp_path}/segue.db") as found:
        yield found


def typed(name: str, info: inspect.Type) -> Any:
    """A value of this type: a secret wherever a person may type what they like."""
    match info:
        case inspect.Metadata():
            return typed(name, info.type)
        case inspect.UnionType():
            return typed(name, next(each for each in info.types if not isinstance(each, inspect.NoneType)))
        case inspect.StrType():
            return ORDINARY[1] if name in NAMES else SECRET
        case inspect.ListType():
            return [typed(name, info.item_type)]
        case inspect.DictType():
            return {"note": SECRET, "password": CANARY}
        case inspect.AnyType():
            return {"said": SECRET, "token": CANARY}
        case inspect.LiteralType():
            return info.values[0]
        case inspect.EnumType():
            return next(iter(info.cls)).value
        case inspect.DateTimeType():
            return "2026-11-20T00:00:00Z"
        case inspect.IntType() | inspect.FloatType():
            return 1
        case inspect.BoolType():
            return False
        case _:
            raise AssertionError(f"{name}: say what is typed into {info}")


def fields(operation: Operation) -> list[msgspec.structs.FieldInfo]:
    return [] if operation.body is None else list(msgspec.structs.fields(operation.body))


def bodies(operation: Operation) -> Iterator[dict[str, Any]]:
    """What is asked with a reason and little else, and with all: some is refused, which is recorded as well."""
    told = {each.encode_name: typed(each.name, inspect.type_info(each.type)) for each in fields(operation)}
    needed = {each.encode_name for each in fields(operation) if each.required} | {"reason"}
    yield {each: value for each, value in told.items() if each in needed}
    yield told


def path_of(operation: Operation, filled: Filled, run_id: str) -> str:
    values = {"run_id": run_id, "step": "0", "key": "north", "queue": "default", "token_id": SECRET}
    path = operation.template
    for name in operation.parameters:
        path = path.replace(f"{{{name}}}", values.get(name, filled.schedules[0]).replace("/", "%2F"))
    return path


def test_the_reason_of_an_act_is_stored_without_its_secrets(segue: Segue, tmp_path: Path) -> None:
    with known(ORDINARY) as flows:
        run = segue.start(flows[0], "x")
        web = TestClient(create_app(segue, identify=lambda request: Identity("ann", "admin")))
        assert web.post(f"/api/v1/runs/{run.id}/pause", json={"reason": SECRET}).status_code == 200
        told = web.get("/api/v1/audit").text, web.get("/api/v1/events").text
    [entry] = segue.access.audit()
    assert entry.reason == "it said password=***"
    assert ["password=***" in each for each in told] == [True, True]
    assert CANARY not in "".join(told)
    with connect(f"sqlite:///{tmp_path}/segue.db") as connection:
        assert CANARY not in str(connection.execute("SELECT detail FROM segue_events").fetchall())


@pytest.mark.proof
def test_secrets_that_are_typed_are_shown_nowhere(segue: Segue, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with known(ORDINARY) as flows:
        filled = fill(segue, flows, ORDINARY)
        web = TestClient(
            create_app(segue, identify=lambda request: Identity("ann", "admin")), base_url="http://localhost",
            raise_server_exceptions=False,
        )  # fmt: skip
        done = set()
        for operation in CHANGING:
            for run_id in (filled.waiting[0], filled.failed[0]):
                for body in bodies(operation):
                    asked = web.request(operation.method, f"/api/v1{path_of(operation, filled, run_id)}", json=body)
                    assert asked.status_code < 500, (operation.name, body, asked.text)
                    if asked.status_code < 300:
                        done.add(operation.name)
        assert len(done) > len(CHANGING) / 3, done
        places = [path for paths_of_page in paths(segue, filled).values() for path in paths_of_page[:1]]
        reading = [each for each in OPERATIONS.values() if not each.changes and "{" not in each.path]
        places += [f"/api/v1{each.path}" for each in reading]
        places += [f"/api/v1/runs/{filled.failed[0]}{rest}" for rest in ("", "/events", "/steps", "/messages")]
        shown = {path: web.get(path).text for path in [*places, "/audit", "/events"]}
    assert "password=***" in shown["/audit"]
    assert "password=***" in shown["/events"]
    found = {path: text[max(text.index(CANARY) - 150, 0) :][:170] for path, text in shown.items() if CANARY in text}
    assert found == {}
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("segue")]
    assert [line for line in logged if CANARY in line] == []
    assert CANARY not in str(segue.access.audit(limit=1000))


@pytest.mark.parametrize("operation", CHANGING, ids=lambda each: each.name)
def test_texts_are_bounded(operation: Operation) -> None:
    for each in fields(operation):
        for info in _texts(inspect.type_info(each.type)):
            assert info.max_length is not None, each.name
            assert info.max_length <= 2000, each.name


def _texts(info: inspect.Type) -> Iterator[inspect.StrType]:
    match info:
        case inspect.StrType():
            yield info
        case inspect.Metadata():
            yield from _texts(info.type)
        case inspect.UnionType():
            for each in info.types:
                yield from _texts(each)
        case inspect.ListType():
            yield from _texts(info.item_type)
