"""The page about the HTTP API: its commands work with a real server, and its table has every operation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import segue.web.app  # noqa: F401 - defines the operations
from segue import Segue
from segue.web.operations import OPERATIONS
from tests.docs.pages import DOCS, README, blocks, doc, save_files

PAGE = DOCS / "api.md"
HEAD = "| operation | role | what it does |\n|---|---|---|\n"


def table() -> str:
    """The operations as rows of the page, by path."""
    ordered = sorted(OPERATIONS.values(), key=lambda each: (each.template, each.method))
    rows = [f"| `{each.method} {each.template}` | {each.role.word} | {each.summary.rstrip('.')} |" for each in ordered]
    return HEAD + "\n".join(rows) + "\n"


def test_the_page_has_every_operation() -> None:
    """What a release has promised is seen to change. `python -m tests.docs.test_api` writes the table anew."""
    assert doc("api").endswith(table()), f"docs/api.md should end with:\n{table()}"


def test_the_commands_of_the_page_work(fresh_place: Path) -> None:
    save_files(README, fresh_place)
    url = f"sqlite:///{fresh_place}/shop.db"
    environment = os.environ | {"SEGUE_DATABASE_URL": url, "SEGUE_TOKEN": "none", "PYTHONPATH": str(fresh_place)}
    started = [
        subprocess.Popen([sys.executable, "-m", "segue", *words], env=environment, stdout=subprocess.PIPE, text=True)
        for words in (["web", "--port", "0"], ["worker", "-A", "shop", "-c", "1", "--pool", "thread"])
    ]
    try:
        assert started[0].stdout is not None
        environment["SEGUE_URL"] = started[0].stdout.readline().split()[3].rstrip("/")
        with Segue(url) as segue:
            wait_for_definitions(segue)
        lines = [line for block in blocks(PAGE, "sh") for line in block.text.splitlines() if "segue web" not in line]
        assert len(lines) > 10
        script = "set -euo pipefail\n" + "\n".join(lines)
        done = subprocess.run(
            ["bash", "-xc", script], env=environment, capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"result":615.0' in done.stdout
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(10)


def wait_for_definitions(segue: Segue) -> None:
    from tests.crash.worker_processes import eventually

    eventually(segue.definitions)


if __name__ == "__main__":
    PAGE.write_text(doc("api").partition(HEAD)[0] + table())
