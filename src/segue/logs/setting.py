"""Sets up the log of a process: to stderr as text or JSON, or as a file of settings for `logging.config` says.

Promise: a record reaches each handler of this log once, from every pool; see `receive` for those of child processes.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segue.errors import ConfigError
from segue.logs.fields import AttemptFields
from segue.logs.formats import JsonFormatter, TextFormatter
from segue.logs.forwarding import LogLine, record_of

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
OURS = "segue"
"""All loggers of Segue are below this one."""


class Log:
    """The log of this process, once `set_up` or `set_up_from` was called."""

    def __init__(self) -> None:
        self._handlers: frozenset[logging.Handler] = frozenset()
        self._level: int | None = None
        self._before: tuple[logging.Handler, int, int] | None = None  # its handler, and the levels without it
        self.prints = False  # whether what tasks print is logged, too

    @property
    def level(self) -> int | None:
        """The lowest level of what child processes forward; None if there is no log to which they could."""
        return self._level

    def set_up(
        self, level: str, *, form: str = "text", handler: logging.Handler | None = None, forwards: bool = True
    ) -> None:  # fmt: skip
        """Log to stderr, or to this handler, from this level on. Child processes forward what tasks log, if wanted.

        The root logger takes INFO in any case, because that is kept with the output of each attempt.
        """
        self.take_down()
        number = logging.getLevelNamesMapping()[level.upper()]
        handler = handler or logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
        handler.setLevel(number)
        root, ours = logging.getLogger(), logging.getLogger(OURS)
        self._before = (handler, root.level, ours.level)
        root.addHandler(handler)
        root.setLevel(min(number, logging.INFO))
        ours.setLevel(number)
        self._use(number if forwards else None)

    def take_down(self) -> None:
        """Undo `set_up`, for a process that goes on without this log."""
        self._handlers, self._level, self.prints = frozenset(), None, False
        if self._before is not None:
            handler, root_level, our_level = self._before
            logging.getLogger().removeHandler(handler)
            logging.getLogger().setLevel(root_level)
            logging.getLogger(OURS).setLevel(our_level)
            self._before = None

    def set_up_from(self, path: Path) -> None:
        """Log as a file says: JSON, TOML or YAML for `logging.config.dictConfig`. Raises ConfigError.

        Loggers that exist already stay enabled. Every handler gets the fields of attempts.
        """
        import logging.config  # noqa: PLC0415 - takes milliseconds, and few have such a file

        settings = {"version": 1, **_read(path), "disable_existing_loggers": False}
        try:
            logging.config.dictConfig(settings)
        except (ValueError, TypeError, AttributeError, ImportError, OSError) as error:
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            raise ConfigError(
                f"--log-config {path}: {error}{cause}. See logging.config.dictConfig in Python's documentation."
            ) from error
        self._use(min(logger.level or logging.CRITICAL for logger in (logging.getLogger(), *_named_loggers())))

    def receive(self, line: LogLine) -> None:
        """Log what a task logged in a child process. Never raises an Exception."""
        logger: logging.Logger | None = logging.getLogger(line.name)
        if logger is None or not logger.isEnabledFor(line.level):
            return
        try:
            record = record_of(line)
            while logger is not None:
                for handler in logger.handlers:
                    if handler in self._handlers and record.levelno >= handler.level:
                        handler.handle(record)
                logger = logger.parent if logger.propagate else None
        except Exception:  # noqa: BLE001 - a handler of the user, or a record that the task made up
            return

    def _use(self, level: int | None) -> None:
        self._level = level
        self._handlers = frozenset(
            handler for logger in (logging.getLogger(), *_named_loggers()) for handler in logger.handlers
        )
        for handler in self._handlers:
            handler.addFilter(AttemptFields())


log = Log()


def _named_loggers() -> Iterator[logging.Logger]:
    loggers = list(logging.Logger.manager.loggerDict.values())
    yield from (logger for logger in loggers if isinstance(logger, logging.Logger))


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--log-config {path} cannot be read: {error}.") from error
    try:
        settings = _parsed(path, text)
    except ConfigError:
        raise
    except Exception as error:  # each parser has its own
        raise ConfigError(f"--log-config {path} is not valid {path.suffix[1:].upper() or 'JSON'}: {error}.") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"--log-config {path} must contain an object, as logging.config.dictConfig takes it.")
    return settings


def _parsed(path: Path, text: str) -> Any:
    match path.suffix.lower():
        case ".toml":
            import tomllib  # noqa: PLC0415 - as above

            return tomllib.loads(text)
        case ".yaml" | ".yml":
            try:
                import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional library
            except ImportError as error:
                raise ConfigError(f"--log-config {path} needs PyYAML. Install it, or write JSON or TOML.") from error
            return yaml.safe_load(text)
        case _:
            return json.loads(text)
