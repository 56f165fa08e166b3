"""Requests made at random from the OpenAPI document: none breaks the server, and the answers fit the document."""

from __future__ import annotations

import pytest

from segue import Segue
from segue.web import Role
from tests.contract.web.fuzzing import fuzz

pytestmark = pytest.mark.contract


def test_requests_at_random(segue: Segue) -> None:
    seen = fuzz(segue, Role.ADMIN, examples=2)
    assert not {status for status in seen if status >= 500}, seen
    assert seen[200] > 20, seen


@pytest.mark.proof
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("role", list(Role))
def test_many_requests_at_random(segue: Segue, role: Role) -> None:
    seen = fuzz(segue, role, examples=60, seed_number=1)
    assert not {status for status in seen if status >= 500}, seen
    assert seen[200] > 500, seen
