"""The pytest plugin: a fixture `workbench`, with a database of its own for each test.

pytest finds it by itself once Segue is installed. The database is a SQLite file in the temporary folder of the test.
Override the fixture `segue_database` to use another, which must be empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from segue.testing.workbench import Workbench


@pytest.fixture
def segue_database(tmp_path: Path) -> str:
    """The URL of an empty database for `workbench`."""
    return f"sqlite:///{tmp_path}/segue.db"


@pytest.fixture
def workbench(segue_database: str) -> Iterator[Workbench]:
    """A `Workbench`, closed when the test ends."""
    from segue.testing.workbench import Workbench  # noqa: PLC0415 - only tests that use it import the engine

    with Workbench(segue_database) as bench:
        yield bench
