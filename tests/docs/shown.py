"""Compares what a page shows with what a command said, line by line.

What differs from one machine and moment to the next (ids, durations, times, hosts, paths, widths) is put into one form
first. A line `...` on the page stands for any number of lines.
"""

from __future__ import annotations

import re

RUN_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}(?:-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?\b")
ANY = "..."
_FORMS = (
    (re.compile(r"\bsegue \d+\.\d+\.\d+(\.dev\d+)?"), "segue VERSION"),
    (RUN_ID, "ID"),
    (re.compile(r"^[0-9a-f]{8}\b", re.MULTILINE), "ID"),  # the short id, in the first column of a table
    (re.compile(r"\b(segue (?:retry|show|send|resume)) [0-9a-f]{8}\b"), r"\1 ID"),
    (re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?=\d{4}-)"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00| [A-Z]{3,4})?"), "WHEN"),
    (re.compile(r"\b\d\d:\d\d:\d\d UTC"), "WHEN"),
    (re.compile(r"<?\b\d+(\.\d+)? (ms|s|min|h|d)\b( \d+ (s|min|h)\b)?"), "TIME"),
    (re.compile(r"just now|TIME ago"), "AGO"),
    (re.compile(r"\bin TIME"), "LATER"),
    (re.compile(r"\b[\w.-]+@[\w.-]+"), "ACTOR"),
    (re.compile(r"\bon [\w.-]+:\d+"), "on HOST"),
    (re.compile(r'"/\S*/(?=[\w.]+")'), '"'),
    (re.compile(r"\b\d+(\.\d+)?/s\b"), "RATE"),
    (re.compile(r"[━╌]+"), "BAR"),
    (re.compile(r"  +"), " "),
)


def in_one_form(text: str) -> list[str]:
    """The lines of a text without what is true at one place and moment only."""
    for pattern, form in _FORMS:
        text = pattern.sub(form, text)
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not set(line) <= {"^", "~"}]


def is_shown(shown: str, said: str) -> bool:
    """Whether a page that shows `shown` tells the truth about a command that said `said`."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == ANY else re.escape(line) + r"\n" for line in in_one_form(shown)
    )  # fmt: skip
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in in_one_form(said))) is not None
