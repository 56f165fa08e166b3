"""The Python examples run, page by page from top to bottom, and print what the page says that they print.

A block with the words `notest REASON` is left out. One with `file=NAME` is a file: it is saved, not run.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from types import ModuleType

import pytest

from segue.dispatcher.registry import executors
from segue.observing import sentry
from segue.observing.metrics.meter import metering
from segue.observing.tracing import uninstall
from tests.docs.pages import ROOT, Block, blocks, file_of, pages, save_files

PROMISED = "#> "


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page, "python") if "notest" not in block.words]


PAGES = [page for page in pages() if runnable(page)]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_examples_of_a_page_run_and_print_what_they_promise(page: Path, fresh_place: Path) -> None:
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")
    known = dict(executors)
    save_files(page, fresh_place)
    sys.modules[module.__name__] = module
    try:
        for block in runnable(page):
            if file_of(block) is not None:
                continue
            printed = run(block, module)
            assert printed == promised(block), f"{block.label} printed this instead:\n{printed}"
    finally:
        if "segue" in vars(module):
            module.segue.close()
        del sys.modules[module.__name__]
        metering.meter = metering.listener = None
        uninstall()
        sentry.uninstall()
        executors.clear()
        executors.update(known)


def run(block: Block, module: ModuleType) -> str:
    """Run a block in the page's module; returns what it printed. Tracebacks name the page and its line."""
    code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, vars(module))
    return out.getvalue()


def promised(block: Block) -> str:
    lines = [line.removeprefix(PROMISED) for line in block.text.splitlines() if line.startswith(PROMISED)]
    return "".join(f"{line}\n" for line in lines)


def test_a_block_that_is_left_out_says_why() -> None:
    silent = [
        block.label
        for page in pages()
        for block in blocks(page, "python")
        if "notest" in block.words and len(block.words) < 4
    ]
    assert silent == []
