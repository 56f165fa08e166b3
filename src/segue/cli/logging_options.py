"""The options `--log-level`, `--log-format` and `--log-config`, which every command that runs for long has."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, cast

import click

from segue.cli.options import AnyCallable
from segue.logs.setting import FORMATS, LEVELS, log


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The log that was asked for."""

    level: str
    form: str
    config: Path | None

    @property
    def is_plain(self) -> bool:
        """Whether it is text on stderr, which a live view may show in its own way."""
        return self.config is None and self.form == "text"

    def set_up(self, handler: logging.Handler | None = None, *, forwards: bool = True) -> None:
        """Set up the log of this process: on stderr, on this handler, or as the file says. Raises ConfigError.

        Without `forwards`, what tasks log in child processes stays in their output.
        """
        if self.config is not None:
            log.set_up_from(self.config)
        else:
            log.set_up(self.level, form=self.form, handler=handler, forwards=forwards)
        click.get_current_context().call_on_close(log.take_down)


_OPTIONS = (
    click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        default="info",
        show_default=True,
        envvar="SEGUE_LOG_LEVEL",
        help="The level of the log on stderr. [env: SEGUE_LOG_LEVEL]",
    ),
    click.option(
        "--log-format",
        type=click.Choice(FORMATS, case_sensitive=False),
        default="text",
        show_default=True,
        envvar="SEGUE_LOG_FORMAT",
        help="Lines of text, or a JSON object for each record. [env: SEGUE_LOG_FORMAT]",
    ),
    click.option(
        "--log-config",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        envvar="SEGUE_LOG_CONFIG",
        help="Log as this file (JSON, TOML, YAML) for logging.config says, not to stderr. [env: SEGUE_LOG_CONFIG]",
    ),
)


def with_log_options(function: AnyCallable) -> AnyCallable:
    """Give a command the options of the log, as its argument `log_options`."""

    @wraps(function)
    def command(*args: Any, log_level: str, log_format: str, log_config: Path | None, **options: Any) -> Any:
        return function(*args, log_options=LogOptions(log_level, log_format, log_config), **options)

    wrapped: Any = command
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return cast("AnyCallable", wrapped)
