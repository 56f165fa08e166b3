"""The file that the tutorial offers has the definitions of its page, and a worker runs them."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest

from segue import Segue
from tests.crash.worker_processes import WorkerProcesses
from tests.docs.pages import DOCS, ROOT, Block, blocks
from tests.docs.test_tour import Tour

PAGE = DOCS / "tutorial.md"
FILE = ROOT / "examples" / "weblogs" / "weblogs.py"
ONLY_ON_THE_PAGE = {"listing", "names", "impatient", "poll"}  # they show something, and are not part of the service


def definitions(text: str) -> dict[str, str]:
    return {
        node.name: ast.unparse(node)
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def test_the_file_defines_what_the_page_defines() -> None:
    on_the_page: dict[str, str] = {}
    for block in blocks(PAGE, "python"):
        on_the_page |= definitions(block.text)
    assert definitions(FILE.read_text()) == {
        name: code for name, code in on_the_page.items() if name not in ONLY_ON_THE_PAGE
    }


def test_the_commands_of_part_8_work_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy2(FILE, tmp_path)
    first: Block = blocks(PAGE, "python")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(first.text, first.label, "exec"), {})
    [setting, *_] = blocks(PAGE, "sh")[1].text.splitlines()
    start = next(line for line in blocks(PAGE, "sh")[1].text.splitlines() if line.startswith("segue start"))
    tour = Tour(tmp_path)
    tour.type(setting)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with WorkerProcesses(f"sqlite:///{tmp_path}/tutorial.db", tmp_path) as processes:
        processes.start(module="weblogs")
        said = tour.type(start)
    assert json.loads(said.splitlines()[-1]) == {"file": "all", "lines": 150, "errors": 21, "bytes": 38250}
    assert '{"file": "all", "lines": 150, "errors": 21, "bytes": 38250}' in PAGE.read_text()
    with Segue(f"sqlite:///{tmp_path}/tutorial.db") as segue:
        [run] = segue.runs()
        assert run.workflow == "weblogs.robust_day"
