"""Says what is wrong with the sdist and the wheel that `make dist` built: `python -m scripts.check_dist FILE ...`.

A wheel has the package and nothing else, with everything that a process reads at run time. An sdist has what is needed
to build, test and document it. Neither has what a build or a test left behind.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

NEEDED = (
    "segue/py.typed",
    "segue/demo/report.html",
    "segue/store/migrations/sqlite/0001",
    "segue/store/migrations/postgres/0001",
    "segue/store/statements/",
)
"""What a wheel has besides Python. A name may be only the beginning of one."""

IN_THE_SOURCE = (
    "pyproject.toml",
    "Makefile",
    "CHANGELOG.md",
    "LICENSE",
    "docs/tutorial.md",
    "tests/conftest.py",
    "deploy/Dockerfile",
)

JUNK = re.compile(
    r"__pycache__|\.pyc$|\.(db|log|sqlite3?)(-\w+)?$|\.egg-info|(^|/)\.(git/|venv|mypy|ruff|pytest|DS)|~$"
)


def problems_of_wheel(names: list[str], metadata: str) -> list[str]:
    """What is wrong with a wheel that has these files and this METADATA."""
    found = [f"{need} is missing" for need in NEEDED if not any(name.startswith(need) for name in names)]
    found += [f"{name} does not belong there" for name in names if not re.match(r"segue(-[^/]+\.dist-info)?/", name)]
    found += _junk(names)
    told = Parser().parsestr(metadata)
    for field in ("Version", "Summary", "License-Expression", "Requires-Python", "Description-Content-Type"):
        if not told.get(field):
            found.append(f"METADATA has no {field}")
    return found


def problems_of_sdist(names: list[str]) -> list[str]:
    """What is wrong with an sdist that has these files, named without its first folder."""
    missing = [f"{need} is missing" for need in IN_THE_SOURCE if not any(name.startswith(need) for name in names)]
    return missing + _junk(names)


def _junk(names: list[str]) -> list[str]:
    return [f"{name} was left behind" for name in names if JUNK.search(name)]


def problems_of(file: Path) -> list[str]:
    """What is wrong with an sdist or a wheel."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            names = wheel.namelist()
            [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
            return problems_of_wheel(names, wheel.read(metadata).decode())
    with tarfile.open(file) as sdist:
        return problems_of_sdist([name.partition("/")[2] for name in sdist.getnames()])


if __name__ == "__main__":
    wrong = [f"{file}: {problem}" for file in sys.argv[1:] for problem in problems_of(Path(file))]
    print("\n".join(wrong) or "The sdist and the wheel have what they should have, and nothing else.")
    sys.exit(bool(wrong))
