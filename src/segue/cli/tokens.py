"""`segue tokens`: access tokens for the web pages and the HTTP API."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.table import Table
from rich.text import Text

from segue.cli.bulk import this_person
from segue.cli.durations import duration_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, print_line, put
from segue.cli.rendering import DIM
from segue.cli.usage import Commands
from segue.client.access import ROLES
from segue.times import ago


@click.group(cls=Commands, short_help="Make and revoke access tokens for the web pages and the API.")
def command() -> None:
    """Make and revoke access tokens, with which people log in to the web pages and programs use the HTTP API.

    \b
    Example:
      segue tokens create ann --role operator --expires 90d
      segue tokens list
    """


@command.command("create", short_help="Make a token.")
@with_setup
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What it may do.")
@duration_option("--expires", help="How long it is valid. [until it is revoked]")
@click.option(
    "--scope", "scopes", multiple=True, metavar="OPERATION", help="Only this operation of the API (repeatable)."
)
@click.option(
    "--workflow", "workflows", multiple=True, metavar="PATTERN",
    help="It may start and control only these workflows, as shop.* (repeatable).",
)  # fmt: skip
@json_option
@pass_setup
def create_command(
    setup: Setup, name: str, role: str, expires: float | None, scopes: tuple[str, ...], workflows: tuple[str, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Make an access token for NAME, a person or a program. It is printed once; the database has only a hash of it.

    With --json: {token}.

    \b
    Example:
      segue tokens create deploy --role operator --scope start_run --workflow 'shop.*'
    """
    with setup.segue() as segue:
        token = segue.access.create_token(
            name, role=role, scopes=scopes or None, workflows=workflows or None, created_by=this_person(),
            expires=None if expires is None else timedelta(seconds=expires),
        )  # fmt: skip
        segue.access.record("create_token", ok=True, actor=this_person(), how="cli", target=name)
    if as_json:
        print_json({"token": token})
    else:
        print_line(token)
        print_line("Keep it now: it is not shown again.", to_stderr=True)


@command.command("list", short_help="List the tokens.")
@with_setup
@json_option
@pass_setup
def list_command(setup: Setup, as_json: bool) -> None:
    """List the tokens, without their secrets. With --json: a list of objects.

    \b
    Example:
      segue tokens list
    """
    with setup.segue() as segue:
        found, now = segue.access.tokens(), segue.engine.store.now()
    if as_json:
        print_json([token.to_dict() for token in found])
        return
    out = console()
    if not found:
        out.print(Text(setup.follow_up("There are no tokens. Make one: segue tokens create NAME"), DIM), soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for title in ("id", "name", "role", "created", "last used", "status"):
        table.add_column(title, overflow="fold")
    for token in found:
        if token.revoked_at is not None:
            status = f"revoked {ago(token.revoked_at, now)}"
        elif token.expires_at is None:
            status = "valid"
        else:
            status = f"{'valid, expires' if token.is_valid(now) else 'expired'} {ago(token.expires_at, now)}"
        used = "never" if token.used_at is None else ago(token.used_at, now)
        table.add_row(token.id, token.name, token.role, ago(token.created_at, now), used, status)
    put(out, table)


@command.command("revoke", short_help="Revoke a token.")
@with_setup
@click.argument("token_id", metavar="ID")
@pass_setup
def revoke_command(setup: Setup, token_id: str) -> None:
    """Revoke a token by its id, as `segue tokens list` shows it. Sessions that began with it end.

    \b
    Example:
      segue tokens revoke 8kXw02Qz
    """
    with setup.segue() as segue:
        segue.access.revoke_token(token_id)
        segue.access.record("revoke_token", ok=True, actor=this_person(), how="cli", target=token_id)
    print_line(f"The token {token_id} is revoked.")
