"""The questions in SQL run as they stand, on a database in which something happened."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from segue import Segue, chain, group, task
from tests.docs.pages import DOCS, Block, blocks

QUESTIONS = blocks(DOCS / "database.md", "sql")


@task(name="shop.load")
def load(path: str) -> int:
    return len(path)


@task(name="shop.refuse")
def refuse(path: str) -> int:
    raise ValueError(path)


def questions_for(dialect: str) -> list[Block]:
    return [block for block in QUESTIONS if block.words[1] in (dialect, "both")]


def let_something_happen(url: str) -> None:
    """A run that succeeded, one that failed, one that waits."""
    with Segue(url) as segue:
        segue.run(load, "a", metadata={"customer": 42})
        with pytest.raises(RuntimeError):
            segue.run(chain(load.s("b"), refuse.si("c"), load.si("d")))
        segue.start(chain(group(load.s("e"), load.s("f")), load.si("g")))


def test_every_question_says_where_it_may_be_asked() -> None:
    assert {block.words[1] for block in QUESTIONS} == {"sqlite", "postgres", "both"}


def test_questions_on_sqlite(sqlite_url: str) -> None:
    let_something_happen(sqlite_url)
    database = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    for block in questions_for("sqlite"):
        if "->>" in block.text and sqlite3.sqlite_version_info < (3, 38):
            continue
        check_answer(block, database.execute(block.text).fetchall())
    database.close()


def test_questions_on_postgres(postgres_url: str) -> None:
    let_something_happen(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        for block in questions_for("postgres"):
            check_answer(block, connection.execute(block.text.encode()).fetchall())


def check_answer(block: Block, answer: list[tuple[object, ...]]) -> None:
    """Each question has something to find, but those about what runs and about failures of `shop.load`."""
    is_about_now = "status = 'running'" in block.text or "'lost'" in block.text
    assert bool(answer) is not is_about_now, block.label
