"""Errors of the same kind have the same fingerprint, and others another one."""

from __future__ import annotations

import time

import pytest

from segue.engine.fingerprint import fingerprint_of, place_of, template_of
from segue.model import ErrorInfo

TRACE = """Traceback (most recent call last):
  File "/home/ann/shop/tasks.py", line {line}, in load
    read(path)
  File "/home/ann/.venv/lib/python3.11/site-packages/pandas/io.py", line 7, in read
    raise ValueError
ValueError: no
"""


@pytest.mark.parametrize(
    "message, template",
    [
        ("2026-11-20.csv has no header", "{} has no header"),
        ("cannot open '/var/x.csv': it isn't there", "cannot open {}: it isn't there"),
        ("no order 4711 of customer 0x3fA9", "no order {} of customer {}"),
        ("run 019b7701-17d8-7125-b7a7-fa6e8e8c256b is gone", "run {} is gone"),
        ("no such file: /srv/data/in.csv", "no such file: {}"),
        (r"no such file: C:\data\in.csv", "no such file: {}"),
        ("https://example.org/a?b=1 answered 503.", "{} answered {}."),
        ("digest deadbeefcafe differs\n  at once", "digest {} differs at once"),
        ("yes and/or no", "yes {} no"),
        ("", ""),
    ],
)
def test_what_differs_is_left_out(message: str, template: str) -> None:
    assert template_of(message) == template


def test_the_deepest_own_function_counts() -> None:
    assert place_of(TRACE.format(line=12)) == "tasks:load"
    assert (
        place_of("Traceback (most recent call last):\n" + '  File "/usr/lib/python3.11/json/a.py", line 1, in f\n')
        == "a:f"
    )
    assert place_of("") == ""
    trace = TRACE.format(line=1)
    both = trace + "\nDuring handling of the above exception, another exception occurred:\n\n" + trace
    assert place_of(both.replace("load", "first", 1)) == "tasks:load"


def test_same_and_different() -> None:
    def made(task: str = "t", type_: str = "E", message: str = "no 1", line: int = 1) -> str:
        return fingerprint_of(task, ErrorInfo(type_, message, TRACE.format(line=line)))

    assert made() == made(message="no 2", line=99)
    assert len(made()) == 16
    assert (
        len(
            {made(), made(task="u"), made(type_="F"), made(message="yes"), fingerprint_of(None, ErrorInfo("E", "no 1"))}
        )
        == 5
    )


def test_any_text_has_a_fingerprint_at_once() -> None:
    begun = time.process_time()
    for text in ("\ud800", "'" * 100_000, "a" * 100_000, "\0", "/" * 100_000, 'File "' * 50_000, "1" * 100_000):
        assert len(fingerprint_of(text[:10], ErrorInfo("E", text, text))) == 16
    assert time.process_time() - begun < 2
