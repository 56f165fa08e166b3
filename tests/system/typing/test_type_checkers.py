"""mypy and pyright find the mistakes in `checked.py`, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHECKED = HERE / "checked.py"
ROOT = HERE.parents[2]
_MARK = re.compile(r"  # E( pyright)?$")


def marked(checker: str) -> set[int]:
    found = {n: _MARK.search(line) for n, line in enumerate(CHECKED.read_text().splitlines(), 1)}
    return {n for n, mark in found.items() if mark is not None and mark[1] in (None, f" {checker}")}


def lines_of(command: list[str], pattern: str, folder: Path) -> dict[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=240)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {int(found[1]): found[0] for found in re.finditer(pattern, done.stdout, re.MULTILINE)}


def mypy(folder: Path) -> dict[int, str]:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={ROOT / '.mypy_cache' / 'of_tests'}",
    ]
    return lines_of([*command, str(CHECKED)], r"checked\.py:(\d+): error: .*", folder)


def pyright(folder: Path) -> dict[int, str]:
    (folder / "pyrightconfig.json").write_text(f'{{"typeCheckingMode": "standard", "include": ["{CHECKED}"]}}')
    command = [sys.executable, "-m", "basedpyright", "--level", "error", "--pythonpath", sys.executable]
    return lines_of([*command, "--project", str(folder)], r"checked\.py:(\d+):\d+ - error: .*", folder)


@pytest.mark.parametrize("check", [mypy, pyright])
def test_a_type_checker_reports_the_marked_lines_and_no_others(
    check: Callable[[Path], dict[int, str]], tmp_path: Path
) -> None:
    found = check(tmp_path)
    wanted = marked(check.__name__)
    assert {line: found[line] for line in sorted(found.keys() - wanted)} == {}, "nothing is wrong there"
    assert sorted(wanted - found.keys()) == [], "these mistakes are not found"
