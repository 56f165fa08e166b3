"""Logging that a handler of the user cannot break.

A handler or filter that raises would raise out of `logger.warning(...)`, in the middle of the worker's loop. Promise:
such an error goes no further; it is reported on stderr once for each kind of error.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class HarmlessLogger(_Adapter):
    """A logger whose methods never raise an Exception."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name))
        self._told: set[type[Exception]] = set()

    def log(self, level: int, msg: object, *args: object, stacklevel: int = 1, **kwargs: Any) -> None:
        """Log, or report on stderr why logging failed."""
        try:
            super().log(level, msg, *args, stacklevel=stacklevel + 1, **kwargs)
        except Exception as error:  # noqa: BLE001 - the user's code, whatever it raises
            self._report(error)

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Leave the message as it is, with its `extra`, which the base class would replace."""
        return msg, kwargs

    def _report(self, error: Exception) -> None:
        if type(error) in self._told:
            return
        self._told.add(type(error))
        with suppress(Exception):  # stderr is closed, replaced or full
            name = type(error).__name__
            sys.stderr.write(
                f"segue: a logging handler of {self.logger.name} raised {name}; work continues without it\n"
            )
            sys.stderr.flush()


def get_logger(name: str) -> HarmlessLogger:
    """The logger of this name, for code that must continue whatever the user's handlers do.

    Example::

        logger = get_logger("segue.worker")
    """
    return HarmlessLogger(name)
