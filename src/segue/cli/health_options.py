"""The option `--health`, which every command that runs for long has."""

from __future__ import annotations

import click

from segue.cli.options import AnyCallable


def with_health_option(function: AnyCallable) -> AnyCallable:
    """Give a command the option, as its argument `health`."""
    option: AnyCallable = click.option(
        "--health",
        metavar="HOST:PORT",
        envvar="SEGUE_HEALTH",
        help="Answer HTTP probes there: /live and /ready. [env: SEGUE_HEALTH]",
    )(function)
    return option
