"""Each fault on the page about Celery has a test, which is in one of the files that the page links."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import DOCS, ROOT, code_words, links

PAGE = DOCS / "migrate-celery.md"


def test_the_tests_that_are_named_exist() -> None:
    files = [(DOCS / link).resolve() for link in links(PAGE) if link.startswith("../tests/")]
    assert len(files) >= 4
    written = {name for file in files for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)}
    named = {word for word in code_words(PAGE) if word.startswith("test_")}
    assert len(named) >= 15
    assert named <= written, sorted(named - written)


def test_every_fault_that_is_tested_is_on_the_page() -> None:
    file = ROOT / "tests" / "executors" / "celery" / "test_faults_that_end_well.py"
    tests = set(re.findall(r"^def (test_\w+)\(", Path(file).read_text(), re.MULTILINE))
    assert tests <= code_words(PAGE), sorted(tests - code_words(PAGE))
