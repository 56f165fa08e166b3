"""The commands of the pages work, in the order given, and say what the pages show.

A `sh` block is only run; of a `console` block, what is shown under each command is what it says. A block of text that
shows an output stands in a `console` block; `text diagram` and `text syntax` are drawings, and `text demo` has a test
of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.pages import README, ROOT, Block, blocks, dialogue, pages, save_files
from tests.docs.shop import Shop
from tests.docs.shown import in_one_form, is_shown

ELSEWHERE = {
    "make": "is what continuous integration and the tests of the demo run",
    "segue demo": "has tests of its own",
    "segue bench": "takes minutes, and has a test of its own",
    "python -m benchmarks": "takes minutes",
    "sqlite3": "is another program",
    "docker": "needs Docker; what it would start runs in the tests of deploy/",
    "kubectl": "needs a cluster; the tests of deploy/ check the manifests",
    "sudo": "changes the machine; the tests of deploy/ check the units",
    "pg_": "is of PostgreSQL, and has a test of its own",
    "createdb": "is of PostgreSQL",
    "segue dispatcher": "needs a cluster, and runs in the tests on Slurm",
    "python main.py": "is the command line of a project that was written for Taskflow, and has tests of its own",
    "pytest": "runs the suite of a page, which has a test of its own",
    "segue health": "needs a worker, and has tests of its own",
    "segue logs": "needs a step at an executor, and has tests of its own",
    "python manage.py": "is a command of a project of Django, which the test of that page makes",
    "pip install": "needs an index of packages",
    "django-admin": "makes that project",
    "cd mysite": "is its folder",
    "uvicorn": "serves until it is stopped; the suite of the page calls the application",
    "curl": "needs a server; the test of the page about the API runs it",
    "RUN=": "belongs to it",
    "NEWEST=": "belongs to it",
    "segue web": "serves until it is stopped, and has tests of its own",
    "segue tokens revoke": "needs the id of a token, and has tests of its own",
    "segue run-step": "needs the job of a cluster, and has tests of its own",
}
"""Commands that are not run here, and why."""

PAGES = [page for page in pages() if page != README and blocks(page, "sh", "console")]


@pytest.fixture
def shop(fresh_place: Path, make_postgres_url: Callable[[], str]) -> Iterator[Shop]:
    shop = Shop(fresh_place, make_postgres_url)
    yield shop
    shop.close()


def commands(block: Block) -> list[tuple[str, str | None]]:
    """Each command of a block, and what is shown under it; None where nothing is to be."""
    if block.language == "console":
        return list(dialogue(block))
    return [(line, None) for line in block.text.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_commands_of_a_page_work_and_say_what_it_shows(page: Path, shop: Shop) -> None:
    save_files(page, shop.folder)
    for block in blocks(page, "sh", "console"):
        for command, shown in commands(block):
            if command.startswith(tuple(ELSEWHERE)):
                continue
            if command.startswith("export "):
                shop.export(command)
                continue
            said = shop.type(command)
            if shown is not None:
                where = f"{block.label}: {command} says\n{said}\n" + "\n".join(in_one_form(said))
                assert is_shown(shown, said), where


def test_what_is_not_run_is_on_a_page() -> None:
    lines = [line for page in pages() for block in blocks(page, "sh") for line in block.text.splitlines()]
    assert [start for start in ELSEWHERE if not any(line.startswith(start) for line in lines)] == []
    assert shutil.which("make")


def test_every_block_is_run_or_says_what_it_is() -> None:
    drawn = [
        block
        for page in pages()
        for block in blocks(page, "text", "")
        if not {"diagram", "syntax", "demo"} & {*block.words}
    ]
    assert [block.label for block in drawn] == []
