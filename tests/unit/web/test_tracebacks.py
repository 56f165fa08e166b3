"""Tracebacks: the frames of the user's code come first."""

from __future__ import annotations

import traceback

from segue.web.tracebacks import shortened, shown_traceback

TEXT = """Traceback (most recent call last):
  File "/usr/lib/python3.11/concurrent/futures/thread.py", line 58, in run
    result = self.fn(*self.args, **self.kwargs)
  File "/app/shop/tasks.py", line 12, in load
    return parse(text)
           ^^^^^^^^^^^
  File "/app/.venv/lib/python3.11/site-packages/pandas/io.py", line 99, in parse
    raise ValueError("no header")
ValueError: no header
and a second line
"""


def test_frames_of_libraries_are_left_for_the_whole() -> None:
    found = shown_traceback(TEXT)
    assert found.own == ('File "/app/shop/tasks.py", line 12, in load\n  return parse(text)\n         ^^^^^^^^^^^',)
    assert found.others == 2
    assert found.error == "ValueError: no header\nand a second line"
    assert found.whole == TEXT


def test_the_last_error_of_a_chain_is_the_one_that_counts() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError:
        found = shown_traceback(traceback.format_exc())
    assert found.error == "ValueError: second"
    assert len(found.own) == 2


def test_a_text_that_is_no_traceback_has_only_its_whole() -> None:
    for text in ("", "killed by signal 9", "  File", 'File "x", line 1'):
        found = shown_traceback(text)
        assert (found.own, found.error, found.whole) == ((), "", text)


def test_of_a_long_text_the_beginning_and_the_end_are_left() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 1000 + "b" * 1000, 10) == "aaaaa\n… 1,990 characters …\nbbbbb"
