"""Who makes a request."""

from __future__ import annotations

import pytest

from segue.web.roles import Identity, Role


@pytest.mark.parametrize(
    "name, kept",
    [
        ("ann", "ann"), ("\u5c71\u7530\u3000\u592a", "\u5c71\u7530\u3000\u592a"), ("a\ud800", "a\\ud800"),
        ("a\x00b\n", "a\\x00b\\n"), ("", ""),
    ],
)  # fmt: skip
def test_names_can_be_stored_and_sent(name: str, kept: str) -> None:
    identity = Identity(name, Role.VIEWER)
    assert identity.name == kept
    identity.name.encode()
