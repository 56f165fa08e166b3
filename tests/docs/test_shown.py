"""The comparison of shown outputs sees a difference, and only a difference."""

from __future__ import annotations

import pytest

from tests.docs.shown import is_shown

SAID = """\
✗ shop.nightly  01a2285f-64fe-7252-8f23-a60a2a8cc123
  failed · took 2.4 s, ended 3 s ago
  File "/home/me/shop.py", line 7, in fetch
attempt 1 of fetch  ✗ failed  6.2 ms  on box:77
"""


@pytest.mark.parametrize(
    "shown",
    [
        SAID,
        "...\n",
        SAID.replace("2.4 s", "221 ms").replace("3 s ago", "just now").replace("box:77", "vm:32010"),
        SAID.replace("01a2285f-64fe-7252-8f23-a60a2a8cc123", "01a1fc28-a0bf-7bae-82b0-38714104e24d"),
        SAID.replace("/home/me/", "/tmp/tour/").replace("  failed", "     failed"),
        "✗ shop.nightly  01a2285f-64fe-7252-8f23-a60a2a8cc123\n...\nattempt 1 of fetch ✗ failed <0.1 ms on vm:1\n",
    ],
)
def test_what_differs_between_machines_is_no_difference(shown: str) -> None:
    assert is_shown(shown, SAID)


@pytest.mark.parametrize(
    "shown",
    [
        "",
        SAID.replace("failed ·", "succeeded ·"),
        SAID.replace("line 7", "line 8"),
        SAID.replace("attempt 1", "attempt 2"),
        SAID + "one line more\n",
        SAID.partition("attempt")[0],
        "...\nattempt 2 of fetch  ✗ failed  6.2 ms  on box:77\n",
    ],
)
def test_what_is_said_otherwise_is_a_difference(shown: str) -> None:
    assert not is_shown(shown, SAID)
