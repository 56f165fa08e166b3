"""The option of commands that change something: `--reason`, which is recorded together with who did it."""

from __future__ import annotations

from functools import wraps
from typing import Any

import click

from segue.cli.bulk import this_person
from segue.cli.options import AnyCallable

Who = dict[str, Any]
"""The arguments `actor` and `reason`."""


def who_option(function: AnyCallable) -> AnyCallable:
    """Give a command the option; the function receives `who`, the arguments `actor` and `reason` of a change."""

    @wraps(function)
    def gathered(*args: Any, reason: str | None, **options: Any) -> Any:
        return function(*args, who={"actor": this_person(), "reason": reason}, **options)

    option = click.option("--reason", metavar="TEXT", help="Why; recorded together with who did it.")
    return option(gathered)  # type: ignore[return-value]
