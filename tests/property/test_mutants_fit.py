"""The mutants break the source where they mean to: what each replaces stands there once."""

from __future__ import annotations

import pytest

from tests.property.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_replaces_is_there_once(mutant: Mutant) -> None:
    text = (ROOT / "src" / "segue" / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert mutant.new != mutant.old
    assert (ROOT / mutant.folder).exists()
