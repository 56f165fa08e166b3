"""What a mutant is: one place of the source that is broken, and the tests that should notice."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A promise that is broken, and how: `old` becomes `new` in one file."""

    name: str
    file: str
    old: str
    new: str
    tests: str = "sqlite"  # of the tests, those whose name contains this
    folder: str = "tests/property"  # what is too rare for random plans is in a contract
