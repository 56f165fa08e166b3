"""What fills a database for the flatness measurements looks as the engine would have left it."""

from __future__ import annotations

import pytest

from segue.bench.growth import DELAYED, FINISHED, fill
from segue.bench.scratch import Site
from segue.bench.tasks import single
from segue.client import Segue


@pytest.mark.parametrize("what, status", [(FINISHED, "succeeded"), (DELAYED, "pending")])
def test_filled_rows_are_sound(what: str, status: str) -> None:
    with Site(None).scratch() as scratch, Segue(scratch.url) as segue:
        segue.upgrade()
        fill(scratch, what, 25)
        assert segue.engine.broken_invariants() == []
        filled = segue.runs()
        assert [run.status for run in filled] == [status] * 25
        assert segue.start(single, 1, 0).id > max(run.id for run in filled), "filling is older than what is measured"


def test_a_finished_run_has_its_result() -> None:
    with Site(None).scratch() as scratch, Segue(scratch.url) as segue:
        segue.upgrade()
        fill(scratch, FINISHED, 1)
        assert segue.get(segue.runs()[0].id).result() == 1


def test_nothing_is_left_of_a_scratch_database() -> None:
    with Site(None).scratch() as scratch:
        Segue(scratch.url).upgrade()
        folder = scratch.folder
        assert folder.is_dir()
    assert not folder.exists()
