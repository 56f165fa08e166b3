"""Segue in a notebook: the cells run in a kernel of Jupyter, whose event loop is running."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

DEFINITIONS = """
from segue import AsyncSegue, Segue, progress, task, workflow

@task
def double(number: int) -> int:
    progress(number, 10)
    print("doubling", number)
    return 2 * number

@task
async def total(numbers: list[int]) -> int:
    return sum(numbers)

@workflow
def summed(numbers: list[int]):
    return total(double.map(numbers))

segue = Segue("sqlite:///notebook.db")
"""


@pytest.fixture
def run_cell(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Runs a cell. Returns the text of its value; an error of the cell is raised."""
    manager = KernelManager()
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.start_kernel(cwd=str(tmp_path))
    client: Any = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)

        def run(cell: str) -> str:
            values: list[str] = []

            def hear(message: dict[str, Any]) -> None:
                if message["msg_type"] == "execute_result":
                    values.append(message["content"]["data"]["text/plain"])

            reply = client.execute_interactive(cell, timeout=60, output_hook=hear)["content"]
            assert reply["status"] == "ok", "\n".join(reply.get("traceback", []))
            return "".join(values)

        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_cells_start_runs_work_them_and_read_them(run_cell: Callable[[str], str]) -> None:
    run_cell(DEFINITIONS)
    assert run_cell("segue.run(summed, [1, 2, 3])") == "12"
    assert run_cell("[listed.result() for listed in segue.runs()]") == "[12]"
    assert run_cell("sorted(s.progress.done for s in segue.runs()[0].run.steps() if s.progress)") == "[1.0, 2.0, 3.0]"
    assert run_cell("waiting = AsyncSegue('sqlite:///notebook.db')\nawait waiting.run(double, 4)") == "8"
    assert run_cell("run = await waiting.start(double, 5)\nstr(await run.cancel())") == "'cancelled'"
