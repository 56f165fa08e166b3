"""Workflows whose arguments and results are long."""

from __future__ import annotations

from typing import Any

from segue import Limit, sleep, task, wait_for, workflow

LONG = 50_000


def text_of(letter: str, length: int = LONG) -> str:
    return letter * length


@task(name="payloads.make")
def make(letter: str, length: int = LONG) -> str:
    return text_of(letter, length)


@task(name="payloads.table")
def table(fails: bool = False) -> dict[str, Any]:
    return {"rows": ["r" * 20_000, "s" * 20_000], "size": 2, "is_ready": not fails, "customer": "acme", "seconds": 0}


@task(name="payloads.size", retries=2, retry_delay=0)
def size(*values: Any, **named: Any) -> int:
    return sum(len(value) if isinstance(value, (str, list)) else 1 for value in (*values, *named.values()))


@task(name="payloads.size_async")
async def size_async(value: str) -> int:
    return len(value)


@task(name="payloads.make_async")
async def make_async(letter: str) -> str:
    return text_of(letter)


@task(name="payloads.same")
def same(value: Any) -> Any:
    return value


@task(name="payloads.counted", limits=[Limit("payloads", 1, key="customer")])
def counted(customer: str) -> str:
    return customer


@task(name="payloads.written", transactional=True)
def written(connection: Any, letter: str) -> dict[str, str]:
    connection.execute("INSERT INTO payload_letters VALUES ('" + letter + "')")
    return {"text": text_of(letter), "customer": "acme"}


@workflow(name="payloads.after_a_transaction")
def after_a_transaction(needs_key: bool) -> Any:
    found = written("t")
    return counted(found["customer"]) if needs_key else size(found["text"])


@task(name="payloads.sizes")
def sizes(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


@task(name="payloads.spread")
def spread(texts: list[str]) -> Any:
    return size.map(texts)


@workflow(name="payloads.chain")
def in_a_chain(letter: str) -> Any:
    return size(make(letter))


@workflow(name="payloads.passes")
def passes(letter: str) -> Any:
    return {"long": make(letter), "short": size(1), "part": table()["rows"][1]}


@workflow(name="payloads.join")
def joins(letters: list[str]) -> Any:
    return sizes([make(letter) for letter in letters])


@workflow(name="payloads.joins_in_joins")
def joins_in_joins() -> Any:
    return sizes(make.map(["a", "b", "c"]))


@workflow(name="payloads.parts")
def parts() -> Any:
    found = table()
    return {"first": size(found["rows"][0]), "count": same(found["size"]), "all": size(found["rows"], again=found)}


@workflow(name="payloads.condition")
def conditional(how: str) -> Any:
    found = table(fails=how == "false part")
    parts_of_it = {"true part": "is_ready", "false part": "is_ready", "missing": "no"}
    when = found[parts_of_it[how]] if how in parts_of_it else found
    return same.options(when=when)("ran")


@workflow(name="payloads.in_the_engine")
def in_the_engine(how: str) -> Any:
    found = table()
    match how:
        case "key":
            return counted(found["customer"])
        case "sleep":
            return sleep(found["seconds"])
        case "wait":
            return wait_for(found["customer"])
        case "when":
            return sleep.options(when=found["seconds"])(100)
        case _:
            raise AssertionError(how)


@workflow(name="payloads.waits")
def waits() -> Any:
    return size(wait_for("text"))


@workflow(name="payloads.given")
def given(text: str, *, other: list[str]) -> Any:
    return {"size": size(text, make("b"), other=other), "whole": same([make("c"), text])}
