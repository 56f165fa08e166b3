"""What runs beside the chores of a database, because the code that was imported needs it.

An executor whose workers cannot reach the database registers what follows them. `segue scheduler`, `segue worker` and
`segue dev` run all companions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

Companion = Callable[[], AbstractContextManager[object]]

_companions: list[Companion] = []


def register_companion(companion: Companion) -> None:
    """Let this run as long as the chores do. It is entered once in each process that does them, and left at its end."""
    _companions.append(companion)


@contextmanager
def companions() -> Iterator[None]:
    """Run all that were registered. Raises what the first of them raises that cannot begin."""
    with ExitStack() as stack:
        for companion in _companions:
            stack.enter_context(companion())
        yield
