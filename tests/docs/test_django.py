"""The page about Django, done literally: a project is made from its blocks, by its commands, on both databases."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "django.md"
ON_POSTGRES = """
DATABASES["default"] = {{
    "ENGINE": "django.db.backends.postgresql", "NAME": {name!r}, "USER": {user!r}, "PASSWORD": {password!r},
    "HOST": {host!r}, "PORT": {port!r},
}}
"""


def postgres_settings(url: str) -> str:
    parts = urlsplit(url)
    return ON_POSTGRES.format(
        name=parts.path[1:], user=parts.username, password=unquote(parts.password or ""), host=parts.hostname,
        port=parts.port,
    )  # fmt: skip


@pytest.mark.timeout(300)  # many processes, one after another
@pytest.mark.parametrize("dialect", ["sqlite", pytest.param("postgres", marks=pytest.mark.proof)])
def test_the_project_of_the_page_works(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder, said = tmp_path, ""
    programs = str(Path(sys.executable).parent)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SEGUE_", "DJANGO_"))}
    env["PATH"] = f"{programs}{os.pathsep}{env['PATH']}"
    for block in blocks(PAGE, "sh", "python"):
        if block.language == "python":
            keep(block.words, block.text, folder)
            continue
        for command in block.text.splitlines():
            if command.startswith("cd "):
                folder = folder / command.removeprefix("cd ")
                if dialect == "postgres":
                    make: Callable[[], str] = request.getfixturevalue("make_bare_postgres_url")
                    with (folder / "mysite" / "settings.py").open("a") as file:
                        file.write(postgres_settings(make()))
            elif not command.startswith("pip "):
                done = subprocess.run(
                    command, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
                )
                assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
                said += done.stdout + done.stderr
    for part in ("pending\n", "✓ succeeded", "shipped\n", "no issues", "Ran 2 tests", "\nOK\n"):
        assert part in said, f"{part!r} is not in: {said}"


def keep(words: tuple[str, ...], text: str, folder: Path) -> None:
    for word in words:
        how, _, name = word.partition("=")
        if how in ("save", "append") and name:
            with (folder / name).open("a" if how == "append" else "w") as file:
                file.write(text)
