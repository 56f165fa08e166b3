"""`segue demo`: a real workflow over the source of Python's standard library; see `segue.demo`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.demo.drive import DEFAULT_FOLDER, run_demo


@click.command(short_help="Measure Python's standard library with a workflow.")
@with_setup
@click.option("--crash", is_flag=True, help="Kill the worker half-way with SIGKILL, and watch the run recover.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="The folder for the report.",
)
@click.option(
    "--concurrency",
    "-c",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Attempts at the same time. [default: the number of CPUs]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Files for each step. [default: 4, with --crash 1]",
)
@click.option("--web", is_flag=True, help="Serve the web pages while it works, and until Ctrl-C when it has ended.")
@click.option("--quiet", is_flag=True, help="Show only the summary at the end.")
@json_option
@pass_setup
def command(
    setup: Setup, crash: bool, output: Path, concurrency: int | None, batch_size: int | None, web: bool, quiet: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Measure Python's standard library with a workflow.

    It lists the modules, fans out over them, parses each, adds up the figures and writes an HTML report. The database
    is a SQLite file in the output folder unless --database names another one.

    \b
    Example:
      segue demo
      segue demo --crash
      segue demo --web
      segue demo --database postgresql://me@localhost/segue
    """
    sys.exit(
        run_demo(
            database=setup.database,
            output=output,
            crash=crash,
            concurrency=concurrency,
            batch_size=batch_size,
            web=web,
            quiet=quiet,
            as_json=as_json,
        )
    )
