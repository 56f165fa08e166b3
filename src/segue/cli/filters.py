"""The options with which a command selects runs: `--workflow`, `--status`, `--tag`, `--meta` and so on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import click

from segue.cli.completing import complete_workflows
from segue.cli.durations import duration_option, typed_duration
from segue.cli.options import AnyCallable
from segue.model import RunStatus

FILTERS = {
    "workflow": "--workflow",
    "status": "--status",
    "tag": "--tag",
    "key": "--key",
    "metadata": "--meta",
    "older_than": "--older-than",
    "newer_than": "--newer-than",
    "error_type": "--error-type",
    "arguments": "--arg",
    "forked_from": "--forks-of",
    "since": "--since",
    "until": "--until",
    "failed_since": "--failed-since",
}


def filter_options(function: AnyCallable) -> AnyCallable:
    """Give a command these options; the function receives those that were given as `filters`, for `Segue.select`."""
    choice = click.Choice([status.value for status in RunStatus])

    @wraps(function)
    def gathered(*args: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in FILTERS}
        filters = {name: value for name, value in given.items() if value not in (None, ())}
        for age in ("older_than", "newer_than"):
            if age in filters:
                filters[age] = timedelta(seconds=filters[age])
        for pairs in ("metadata", "arguments"):
            if pairs in filters:
                filters[pairs] = dict(filters[pairs])
        return function(*args, filters=filters, **options)

    for option in (
        click.option("--failed-since", type=_moment, metavar="TIME", help="Only runs that failed since this time."),
        click.option("--until", type=_moment, metavar="TIME", help="Only runs created before this time."),
        click.option("--since", type=_moment, metavar="TIME", help="Only runs created at or after this time."),
        click.option("--forks-of", "forked_from", metavar="ID", help="Only forks of the run with this (whole) id."),
        click.option(
            "--arg", "arguments", type=_pair, multiple=True, metavar="PATH=VALUE",
            help="Only runs with this argument, such as customer.id=42 (repeatable: all of them).",
        ),
        click.option("--error-type", metavar="TYPE", help="Only runs that failed with this type of error."),
        duration_option("--newer-than", help="Only runs created more recently than this."),
        duration_option("--older-than", help="Only runs created longer ago than this."),
        click.option(
            "--meta", "metadata", type=_pair, multiple=True, metavar="KEY=VALUE",
            help="Only runs with this metadata, or with a step that has it (repeatable: all of them).",
        ),
        click.option("--tag", multiple=True, metavar="TAG", help="Only runs with this tag (repeatable: all of them)."),
        click.option("--key", help="Only runs with this key."),
        click.option(
            "--workflow", metavar="NAME", shell_complete=complete_workflows,
            help="Only runs of this workflow (its full name).",
        ),
        click.option("--status", type=choice, multiple=True, help="Only runs of this status (repeatable: any)."),
    ):  # fmt: skip
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


def typed(filters: Mapping[str, Any]) -> str:
    """Filters in the form in which they are typed, for a command that is shown."""
    words: list[str] = []
    for name, value in filters.items():
        values = [f"{key}={text}" for key, text in value.items()] if isinstance(value, dict) else value
        for each in values if isinstance(values, (tuple, list)) else (values,):
            words += [FILTERS[name], shlex.quote(_typed(each))]
    return " ".join(words)


def _typed(value: Any) -> str:
    if isinstance(value, timedelta):
        return typed_duration(value.total_seconds())
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a time; write it like 2026-11-20T02:00 (UTC), or with an offset."
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE; write it like customer=42.")
    return name, value
