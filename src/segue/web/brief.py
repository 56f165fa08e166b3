"""Reading for the web: a question that takes too long is ended, and the answer advises a narrower one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from segue.client import Segue
from segue.errors import StoreBusyError
from segue.web.problems import ProblemError

SECONDS = 2.0


@contextmanager
def briefly(segue: Segue) -> Iterator[None]:
    """Inside the block, what this thread reads ends after two seconds. Raises ProblemError."""
    try:
        with segue.engine.store.reading_within(SECONDS):
            yield
    except StoreBusyError as error:
        raise ProblemError(
            503, "QueryTooBroad", f"This takes longer than {SECONDS:g} s. Ask for less: a shorter time, a workflow, a "
            "smaller page.",
        ) from error  # fmt: skip
