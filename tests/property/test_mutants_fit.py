"""The mutants break the source where they mean to: what each replaces stands there once."""

from __future__ import annotations

import re

import pytest

from tests.contract.web.defences import DEFENCES
from tests.property.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_replaces_is_there_once(mutant: Mutant) -> None:
    text = (ROOT / "src" / "segue" / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert mutant.new != mutant.old
    assert (ROOT / mutant.folder).exists()


def test_the_tests_that_are_named_beside_a_threat_notice_when_its_defence_is_gone() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = page.partition("| threat |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(test_\w+\.py)`", table))
    assert {"test_access.py", "test_oidc.py"} <= named
    assert named == {defence.folder.rpartition("/")[2] for defence in DEFENCES}
