"""What the older libraries could do and Segue does in another way is refused by name."""

from __future__ import annotations

from typing import NoReturn

from segue.errors import ConfigError


class NotTranslatedError(ConfigError, AttributeError):
    """The older library had this, and it has no counterpart here; the message says what to use instead."""


def not_translated(name: str, instead: str) -> NoReturn:
    """Refuse a name. `instead` is a sentence that says what to do."""
    raise NotTranslatedError(f"{name} has no counterpart in Segue. {instead}")
