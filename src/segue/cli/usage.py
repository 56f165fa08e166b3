"""Wrong usage: the one form of its messages, and what may have been meant.

Groups of commands are `Commands`, so that a mistyped command is answered with the ones that look like it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import click

SUGGESTED = 3


class Commands(click.Group):
    """A group that knows what a mistyped command may have meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:  # fmt: skip
        """Find the command. Raises UsageError that names similar ones."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            near = similar(name, self.list_commands(ctx))
            ctx.fail(f"{name!r} is not a command.{did_you_mean(near)}")
        return super().resolve_command(ctx, args)


def usage_text(error: click.UsageError) -> str:
    """What a wrong usage says: the mistake, and where the right usage is described."""
    said = error.format_message()
    if isinstance(error, click.NoSuchOption):
        near = similar(error.option_name, error.possibilities or ())
        said = f"{error.option_name} is not an option of this command.{did_you_mean(near)}"
    said = said.rstrip()
    end = "" if said.endswith((".", "?", "!")) else "."
    where = error.ctx.command_path if error.ctx is not None else "segue"
    return f"{said}{end} See: {where} --help"


def similar(word: str, known: Iterable[str]) -> list[str]:
    """The known words that look like this one, the most similar first."""
    return get_close_matches(word, list(known), n=SUGGESTED)


def did_you_mean(words: Sequence[str]) -> str:
    """A question with the given words; nothing without any."""
    if not words:
        return ""
    *others, last = map(repr, words)
    return f" Did you mean {', '.join(others)} or {last}?" if others else f" Did you mean {last}?"
