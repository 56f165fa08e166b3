"""`segue bench`: measures this machine; its own options are those of `segue.bench`."""

from __future__ import annotations

import sys
from importlib import import_module

import click


@click.command(
    short_help="Measure how fast Segue is on this machine.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Measure how fast Segue is on this machine; `segue bench --help` lists its options."""
    sys.exit(import_module("segue.bench").main(arguments))
