"""What is said of tasks and workflows: schemas, titles, options, and a hash that changes with the code alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import pydantic
import pytest
from jsonschema import Draft202012Validator

from segue import Limit, Schedule, Secret, task, workflow
from segue.authoring import declared
from segue.authoring.describing import describe as describing
from segue.authoring.describing.code_hash import code_hash
from segue.authoring.describing.describe import code_version, describe
from segue.authoring.describing.schema import stable_json
from segue.errors import DefinitionError
from segue.plan.code_version import WorkDefinition
from tests.conftest import only_tasks_of

if TYPE_CHECKING:
    from decimal import Decimal as Unimported


@pytest.fixture(autouse=True)
def only_these() -> Iterator[None]:
    with only_tasks_of("nowhere"):
        yield


def schema(definition: WorkDefinition) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(definition.parameters)
    Draft202012Validator.check_schema(found)
    return found


def described(fn: Callable[..., Any], **options: Any) -> WorkDefinition:
    return describe(task(name="t", **options)(fn))


# Titles and descriptions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, title",
    [
        ("shop.send_mail", "Send mail"), ("shop.sendMailNow", "Send mail now"), ("shop.fetchURL", "Fetch URL"),
        ("shop.HTTPServer_up", "HTTP server up"), ("billing-2/invoice", "Billing 2 invoice"), ("shop.__", "shop.__"),
        ("x", "X"),
    ],
)  # fmt: skip
def test_a_title_is_made_of_the_name(name: str, title: str) -> None:
    def fn() -> None: ...

    assert describe(task(name=name)(fn)).title == title
    assert describe(workflow(name=name)(fn)).title == title


def test_a_description_is_the_first_paragraph_of_the_docstring() -> None:
    def fn() -> None:
        """Send a mail
        to everyone.

        More about it.
        """

    assert described(fn).description == "Send a mail to everyone."
    assert describe(workflow(name="w")(fn)).description == "Send a mail to everyone."


def test_title_and_description_may_be_said() -> None:
    def fn() -> None:
        """Not this."""

    for made in (
        described(fn, title="  Mail ", description="First.\n\n  Second."),
        describe(workflow(name="w", title="Mail", description="First.\n\n  Second.")(fn)),
    ):
        assert (made.title, made.description) == ("Mail", "First.\n\nSecond.")
    assert described(fn, description="").description == ""


@pytest.mark.parametrize("decorate", [task, workflow])
@pytest.mark.parametrize(
    "option", [{"title": ""}, {"title": 5}, {"title": "a\nb"}, {"title": "x" * 201}, {"description": 5},
               {"description": "a\0"}, {"description": "x" * 10_001}, {"description": "\ud800"}]
)  # fmt: skip
def test_what_is_no_title_or_description_is_refused(decorate: Any, option: dict[str, Any]) -> None:
    def fn() -> None: ...

    [word] = option
    with pytest.raises(DefinitionError, match=f"{word}="):
        decorate(name="x", **option)(fn)


# Parameters and results -----------------------------------------------------------------------------------------------


@dataclass
class Order:
    number: int
    parts: list[Order]
    note: str = ""


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Page(pydantic.BaseModel):
    url: str = pydantic.Field(alias="URL")
    links: set[str] = {"b", "a"}
    inner: Page | None = None


def test_parameters_are_an_object_with_a_property_for_each() -> None:
    def fn(
        order: Order, /, to: Annotated[str, pydantic.Field(description="who gets it")], *more: int,
        size: Size = Size.SMALL, day: date | None = None, **rest: float,
    ) -> dict[int, Order]: ...  # fmt: skip

    made = described(fn)
    found = schema(made)
    assert list(found["properties"]) == ["order", "to", "more", "size", "day"]
    assert found["required"] == ["order", "to"]
    assert found["properties"]["order"] == {"$ref": "#/$defs/Order", "x-segue-kind": "positional_only"}
    assert found["properties"]["to"] == {"type": "string", "description": "who gets it"}
    assert found["properties"]["more"] == {
        "type": "array",
        "items": {"type": "integer"},
        "x-segue-kind": "var_positional",
    }
    assert found["properties"]["size"] == {"enum": ["s", "l"], "default": "s"}
    assert found["properties"]["day"]["default"] is None
    assert found["additionalProperties"] == {"type": "number"}
    assert found["$defs"]["Order"]["required"] == ["number", "parts"]
    assert json.loads(made.result)["additionalProperties"] == {"$ref": "#/$defs/Order"}
    assert made.problem is None
    assert Draft202012Validator(found).is_valid({"order": {"number": 1, "parts": []}, "to": "a", "x": 1.5})
    assert not Draft202012Validator(found).is_valid({"order": {"number": "1", "parts": []}, "to": "a"})


def test_a_parameter_that_is_none_by_default_takes_none() -> None:
    def fn(n: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013 - that is what is tested

    assert schema(described(fn))["properties"]["n"] == {
        "anyOf": [{"type": "null"}, {"type": "integer"}],
        "default": None,
    }


def test_the_connection_that_nobody_gives_is_left_out() -> None:
    def fn(connection: Any, order: int) -> None: ...

    assert list(schema(described(fn, transactional=True))["properties"]) == ["order"]


def test_a_pydantic_model_is_described_by_itself_under_the_names_that_are_written() -> None:
    def fn(page: Page) -> None: ...

    made = described(fn)
    found = schema(made)
    assert made.problem is None
    validator = Draft202012Validator(found)
    assert validator.is_valid({"page": {"url": "x", "links": ["a"], "inner": {"url": "y"}}})
    assert not validator.is_valid({"page": {"url": 1}})
    assert not validator.is_valid({"page": {"URL": "x"}})


def test_two_classes_of_one_name_are_told_apart() -> None:
    def other() -> Any:
        return dataclass(type("Order", (), {"__annotations__": {"x": int}}))

    def fn(one: Any, two: Any) -> None: ...

    fn.__annotations__ |= {"one": Order, "two": other()}
    found = schema(described(fn))
    assert sorted(found["$defs"]) == ["Order", "Order_2"]
    assert found["properties"]["two"] == {"$ref": "#/$defs/Order_2"}


def test_bounds_and_words_of_msgspec_are_told() -> None:
    def fn(
        n: Annotated[int, msgspec.Meta(ge=1, lt=9, description="how many")],
        names: Annotated[list[str], msgspec.Meta(max_length=3)],
    ) -> None: ...  # fmt: skip

    found = schema(described(fn))["properties"]
    assert found["n"] == {"type": "integer", "minimum": 1, "exclusiveMaximum": 9, "description": "how many"}
    assert found["names"] == {"type": "array", "items": {"type": "string"}, "maxItems": 3}


def test_only_what_always_has_a_format_says_so() -> None:
    """A naive datetime has no RFC 3339 format, and validators differ in whether they check one."""

    def fn(day: date, at: datetime, long: timedelta) -> None: ...

    found = schema(described(fn))["properties"]
    assert [found[name].get("format") for name in found] == ["date", None, None]
    assert [found[name].get("x-segue-type") for name in found] == [None, "datetime", "timedelta"]
    validator = Draft202012Validator(found["at"])
    assert validator.is_valid("2026-01-01T00:00:00")
    assert validator.is_valid("2026-01-01T00:00:00.5+05:30")
    assert not validator.is_valid("2026-01-01")


def test_the_same_code_has_the_same_schema_with_and_without_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    def fn(order: Order, size: Size | None, days: set[date], at: datetime, raw: bytes = b"x") -> None: ...

    made = described(fn)
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("pydantic")]:
        monkeypatch.delitem(sys.modules, name)
    assert described(fn) == made


# What cannot be described ---------------------------------------------------------------------------------------------


class Hostile(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("asked")


class Opaque:
    pass


class Refused(pydantic.BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    what: Opaque


def test_an_annotation_that_json_cannot_give_is_a_problem_of_its_task_alone() -> None:
    def fn(what: Opaque, n: int) -> None: ...

    made = described(fn)
    assert made.problem == "a test_describing.Opaque cannot be given as JSON".replace(
        "test_describing", Opaque.__module__
    )
    assert schema(made)["properties"] == {"what": {"not": {}}, "n": {"type": "integer"}}


def test_a_model_that_pydantic_cannot_describe_is_any_object() -> None:
    def fn(model: Refused) -> None: ...

    made = described(fn)
    assert "pydantic has no JSON Schema for Refused" in str(made.problem)
    assert schema(made)["$defs"] == {"Refused": {"type": "object"}}


def test_an_annotation_that_cannot_be_resolved_takes_anything() -> None:
    def fn(n: Unimported, m: NoSuchThing) -> Unimported: ...  # type: ignore[name-defined]  # noqa: F821

    made = described(fn)
    assert schema(made)["properties"] == {"n": {}, "m": {}}


def test_a_default_that_is_no_json_or_is_large_is_left_out() -> None:
    made_before = Opaque()

    def fn(a: Any = made_before, b: str = "x" * 2000, c: Any = float("nan"), d: Any = "\ud800") -> None: ...

    made = described(fn)
    assert schema(made)["properties"] == {"a": {}, "b": {"type": "string"}, "c": {}, "d": {}}
    assert "required" not in schema(made)


@pytest.mark.parametrize("broken", ["_schemas", "code_hash"])
def test_what_raises_while_it_is_described_is_a_problem(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fn(n: int) -> None: ...

    def raises(*_: Any) -> Any:
        raise RecursionError("too deep")

    monkeypatch.setattr(describing, broken, raises)
    made = described(fn)
    assert "RecursionError: too deep" in str(made.problem)
    assert (made.name, made.title) == ("t", "T")


def test_a_description_that_is_too_large_is_left_out() -> None:
    def fn(what: Any) -> None: ...

    fn.__annotations__["what"] = Literal[tuple(f"{number:0100}" for number in range(1000))]
    made = described(fn)
    assert made.parameters == "{}"
    assert "more than the limit of 65,536" in str(made.problem)


def test_texts_that_no_database_holds_are_spelt_out() -> None:
    def fn() -> None: ...

    fn.__qualname__, fn.__doc__ = "a\0b\ud800", "A\0 \udfff."
    made = described(fn)
    assert made.qualname == "a\\x00b\\ud800"
    assert made.description == "A\\x00 \\udfff."


def test_hostile_classes_stop_nothing() -> None:
    def fn(what: Any) -> None: ...

    fn.__annotations__["what"] = Hostile("Odd", (), {})
    assert schema(described(fn))["properties"] == {"what": {}}


# Options --------------------------------------------------------------------------------------------------------------


def test_options_that_were_said_are_told() -> None:
    def fn(customer: str) -> None: ...

    made = described(
        fn, retries=3, timeout=5, queue="net", priority=7, retry_on=OSError, concurrency=2, metadata={"team": "a"},
        limits=[Limit("api", rate="10/s")], cost=2, fair_by="customer", schedule=Schedule("@daily", overlap="allow"),
    )  # fmt: skip
    options = json.loads(made.options)
    assert options["limits"] == [{"name": "task:t", "concurrency": 2}, {"name": "api", "rate": [10.0, 1.0]}]
    assert options["schedule"] == {"expression": "0 0 * * *", "timezone": "UTC", "overlap": "allow"}
    said = ("retries", "timeout", "queue", "priority", "retry_on", "cost", "fair_by")
    assert {name: options[name] for name in said} == {
        "retries": 3, "timeout": 5.0, "queue": "net", "priority": 7, "retry_on": ["OSError"], "cost": 2,
        "fair_by": "customer",
    }  # fmt: skip
    assert options["metadata"] == {"team": "a"}


def test_options_of_workflows_are_told() -> None:
    def fn(customer: str) -> None: ...

    @task(name="alert")
    def alert() -> None: ...

    made = describe(
        workflow(
            name="w", queue="q", tags=["a"], deadline=60, concurrency=1, concurrency_key="customer", fail_fast=True,
            on_failure=alert.si(), sla_end=5, fair_by="customer",
        )(fn)
    )  # fmt: skip
    assert json.loads(made.options) == {
        "queue": "q", "fail_fast": True, "deadline": 60.0, "sla_end": 5.0, "tags": ["a"], "hooks": ["on_failure"],
        "concurrency": 1, "concurrency_key": "customer", "fair_by": "customer",
    }  # fmt: skip


# The version and the hash ---------------------------------------------------------------------------------------------


def test_there_is_no_version_where_nothing_is_defined() -> None:
    assert code_version() is None


def test_the_version_changes_with_what_is_defined() -> None:
    @task(name="a")
    def one() -> None: ...

    first = code_version()
    assert first is code_version()

    @workflow(name="b")
    def two() -> None: ...

    second = code_version()
    declared.tasks.pop("a")
    third = code_version()
    assert first is not None
    assert second is not None
    assert third is not None
    assert [each.name for each in second.definitions] == ["a", "b"]
    assert len({first.version, second.version, third.version}) == 3
    assert {len(made.version) for made in (first, second, third)} == {16}


def test_what_segue_brings_along_is_left_out() -> None:
    import segue.authoring.builtin  # noqa: F401 - defines tasks

    assert "segue.shell" in declared.tasks
    assert code_version() is None


MODULE = '''
from segue import task
LIMIT = {limit}

def plain(x): return x

@task(retries=1)
def work(word: str, kinds: frozenset = frozenset({{"a", "b", "c"}}), limit: int = LIMIT) -> bool:
    """Docs."""
    def inner(n):
        return n {operator} 1
    return inner(len(word)) in {{"x", "y", "z", "w"}}
'''
ASK = """
import sys, importlib
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "bytecode":
    import linecache; linecache.getlines = lambda *a, **k: []
import app
from segue.authoring.describing.describe import code_version
[made] = code_version().definitions
print(made.code_hash, code_version().version)
"""


def asked(folder: Path, *, way: str = "source", seed: int = 0, limit: int = 5, operator: str = "+") -> list[str]:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "app.py").write_text(MODULE.format(limit=limit, operator=operator))
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(folder), way], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.parametrize("way", ["source", "bytecode"])
def test_the_hash_is_of_the_code_alone(tmp_path: Path, way: str) -> None:
    """Not of the process, the folder, or the lines above; but of inner functions and defaults."""
    first = asked(tmp_path / "one", way=way, seed=1)
    assert asked(tmp_path / "deep" / "two", way=way, seed=2) == first
    other_default = asked(tmp_path / "three", way=way, limit=6)
    other_inside = asked(tmp_path / "four", way=way, operator="-")
    hashes = [found[0] for found in (first, other_default, other_inside)]
    assert len(set(hashes)) == 3


def test_the_layout_of_lines_does_not_change_the_hash() -> None:
    def made(text: str) -> Any:
        names: dict[str, Any] = {}
        import linecache

        file = f"<{len(text)}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec"), names)
        return names["f"]

    plain = made("def f(x):\n    return x\n")
    assert code_hash(made("\n\ndef f(x):   \r\n    return x\r\n\r\n")) == code_hash(plain)
    assert code_hash(made("def f(x):\n    return x + 0\n")) != code_hash(plain)


def test_what_wraps_a_function_is_part_of_its_hash() -> None:
    import functools

    def fn(x: int) -> int:
        return x

    @functools.wraps(fn)
    def wrapped(x: int) -> int:
        return fn(x) + 1

    assert code_hash(wrapped) != code_hash(fn)


def test_what_has_no_order_is_sorted() -> None:
    assert (
        stable_json([{"b", "a"}, {"x": frozenset({2, 1})}, (1, {"d", "c"})]) == '[["a","b"],{"x":[1,2]},[1,["c","d"]]]'
    )


def test_the_default_of_a_secret_is_not_described() -> None:
    def pay(
        token: Secret[str] = "t-1",
        password: str = "p-2",
        key: Secret[str | None] = None,
        at: dict[str, Any] = {"dsn": "d-3"},  # noqa: B006
    ) -> None: ...

    found = schema(described(pay))["properties"]
    assert ["default" in found[name] for name in ("token", "password", "key", "at")] == [False, False, True, True]
    assert found["at"]["default"] == {"dsn": "***"}
