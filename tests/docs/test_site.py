"""The site has every page and every public name, and its links lead somewhere."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import segue
from tests.docs.pages import ROOT
from website import reference, staging
from website.docstrings import as_restructured_text

LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def test_docs_readme_lists_every_page() -> None:
    assert [page.name for page in staging.unlisted()] == [], "give each page a row in a table of docs/README.md"


def test_sections_of_the_site_are_those_of_docs_readme() -> None:
    sections = staging.sections()
    assert next(iter(sections)) == "Learn"
    assert sections["Learn"][0] == staging.DOCS / "tutorial.md"
    assert sections["Contribute"] == [ROOT / "CONTRIBUTING.md", staging.DOCS / "decisions" / "README.md"]
    assert all(page.exists() for pages in sections.values() for page in pages)


def test_links_between_staged_pages_lead_somewhere(tmp_path: Path) -> None:
    staging.stage(tmp_path)
    staged = [page for page in tmp_path.rglob("*.md") if "api" not in page.parts]
    assert len(staged) > 80
    broken = [
        (page.name, link)
        for page in staged
        for link in LINK.findall(FENCE.sub("", page.read_text()))
        if not (page.parent / link).exists()
    ]
    assert broken == []
    assert ":caption: shop.py" in (tmp_path / "index.md").read_text()
    (tmp_path / "gone.md").write_text("# A page of an earlier build")
    before = (tmp_path / "index.md").stat().st_mtime_ns
    staging.stage(tmp_path)
    assert not (tmp_path / "gone.md").exists()
    assert (tmp_path / "index.md").stat().st_mtime_ns == before, "an unchanged page would be built again"


def test_links_to_folders_lead_to_what_explains_them() -> None:
    files: set[Path] = set()
    text = "[a](../deploy) [b](../deploy/kubernetes) [c](../LICENSE) [d](https://example.org) [e](#here)"
    staged = staging.with_links_of_the_site(text, staging.DOCS / "faq.md", "faq.md", files)
    assert staged == "[a](examples/deploy.md) b [c](files/LICENSE) [d](https://example.org) [e](#here)"
    assert files == {ROOT / "LICENSE"}


def test_pictures_are_shown_when_they_were_taken(tmp_path: Path) -> None:
    text = "# Page\n\n<!-- picture: now -->\n\nText"
    assert staging.with_pictures(text, tmp_path) == "# Page\n\n\n\nText"
    (tmp_path / "now-light.png").touch()
    assert "image" not in staging.with_pictures(text, tmp_path), "half of a picture is none"
    (tmp_path / "now-dark.png").touch()
    shown = staging.with_pictures(text, tmp_path)
    assert re.findall(r"/pictures/(\S+)\n:class: (\S+)", shown) == [
        ("now-light.png", "only-light"), ("now-dark.png", "only-dark"),
    ]  # fmt: skip


def test_every_picture_of_a_page_can_be_taken() -> None:
    marked = {
        name
        for page in staging.pages()
        for name in re.findall(r"^<!-- picture: (\w+) -->", page.read_text(), re.MULTILINE)
    }
    taken = set(re.findall(r'"(\w+)": f?"/', (ROOT / "scripts" / "web_pictures.py").read_text()))
    assert marked
    assert marked <= taken


def test_every_public_name_is_in_the_reference_and_documented() -> None:
    modules = reference.public_modules()
    assert {"segue", "segue.errors", "segue.testing", "segue.executors.celery", "segue.compat.rhythm"} <= set(modules)
    pages = reference.reference_pages()
    for name in modules:
        module = importlib.import_module(name)
        for each in reference.public_names(module):
            assert f":: {name}.{each}\n" in pages[f"api/{name}.md"] or f"`{each}` is" in pages[f"api/{name}.md"]
            value = getattr(module, each)
            is_alias = not isinstance(value, type) and not inspect.isroutine(value)
            assert is_alias or value.__doc__, f"{name}.{each} has no docstring"


def test_what_methods_return_is_in_the_reference() -> None:
    names = {value.__name__ for value in reference.returned_classes()}
    assert {"RunInfo", "StepInfo", "AttemptInfo", "Reason", "ScheduleInfo", "LimitInfo", "Applied", "Sent"} <= names
    assert names & set(segue.__all__) == set()
    page = reference.reference_pages()["api/returned.md"]
    assert all(f".{name}\n" in page for name in names)


@pytest.mark.parametrize("written, wanted", [
    ("See `Run.send` and `a or b`.", "See :py:obj:`Run.send` and ``a or b``."),
    ("Takes *args, **kwargs and `*xs`.", r"Takes \*args, \*\*kwargs and ``*xs``."),
    ("* an entry", "* an entry"),
    ("Already ``marked`` and :py:obj:`done`.", "Already ``marked`` and :py:obj:`done`."),
])  # fmt: skip
def test_docstrings_are_marked_for_sphinx(written: str, wanted: str) -> None:
    lines = [written, "", "Example::", "", "    f(*xs)  # `as it is`", "", "`After`"]
    as_restructured_text(None, "function", "f", None, None, lines)
    assert lines[0] == wanted
    assert lines[4] == "    f(*xs)  # `as it is`"
    assert lines[6] == ":py:obj:`After`"


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"from website.__main__ import *; exit(build('html', Path({str(tmp_path)!r})))"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "html"
    objects = (site / "api" / "segue.html").read_text()
    ids = set(re.findall(r'id="([\w.]+)"', objects))
    missing = {f"segue.{name}" for name in reference.public_names(segue)} - {
        f"segue.{each.rpartition('.')[2]}" for each in ids
    }
    assert missing == set()
    assert "0001-state-in-sql.html" in (site / "decisions" / "index.html").read_text()
    assert (site / "searchindex.js").stat().st_size > 100_000
