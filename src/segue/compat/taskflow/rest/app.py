"""`create_app`, which is refused."""

from __future__ import annotations

from typing import Any, NoReturn

from segue.compat.refusing import not_translated

NO_SERVER = "Look with `segue runs`, `segue show` and `segue schedules`, with --json, or use segue.Segue."


def create_app(*_args: Any, **_options: Any) -> NoReturn:
    """Not here: it comes with Segue's web interface."""
    not_translated("create_app", NO_SERVER)
