"""`segue db`: upgrades, checks, prunes and measures the database."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import click
from rich.text import Text

from segue.cli.durations import duration_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json
from segue.cli.usage import Commands
from segue.cli.wording import counts_text
from segue.client import Segue
from segue.client.views import LeaderInfo, leader_info
from segue.client.wording import counted
from segue.config import without_password
from segue.errors import SchemaError
from segue.model import RunStatus
from segue.plan.namespaces import EVERY
from segue.store.migrate import latest
from segue.times import ago

BROKEN_SHOWN = 50


@click.group(cls=Commands, short_help="Upgrade, check, prune and measure the database.")
def command() -> None:
    """Upgrade, check, prune and measure the database.

    \b
    Example:
      segue db upgrade --database postgresql://me@localhost/segue
      segue db check
      segue db prune --older-than 30d
    """


@command.command("upgrade", short_help="Create the tables, or update them.")
@with_setup
@json_option
@pass_setup
def upgrade(setup: Setup, as_json: bool) -> None:
    """Create the tables, or update them to this version of Segue. Safe at any time, also from many processes at once.

    \b
    Example:
      segue db upgrade --database sqlite:///segue.db
    """
    with setup.segue() as segue:
        applied = segue.upgrade()
        version = segue.engine.store.schema_version()
        database = without_password(segue.url)
    if as_json:
        print_json({"database": database, "applied": applied, "schema_version": version})
        return
    did = f"{counted(len(applied), 'migration')} applied" if applied else "nothing to do"
    console().print(Text(f"{database}: {did}, schema version {version}"), soft_wrap=True)


@command.command("check", short_help="Check the tables and the promises.")
@with_setup
@json_option
@pass_setup
def check(setup: Setup, as_json: bool) -> None:
    """Check that the tables have this version, and that nothing in them contradicts what Segue promises.

    Exit code 1 if something is broken. With --json: {database, schema_version, broken: [{run, what}]}.

    \b
    Example:
      segue db check
    """
    with setup.segue() as segue:
        version = _schema_version(segue)
        broken = segue.engine.broken_invariants()
        database = without_password(segue.url)
    if as_json:
        documents = [{"run": run, "what": what} for run, what in broken]
        print_json({"database": database, "schema_version": version, "broken": documents})
    else:
        out = console()
        for run, what in broken[:BROKEN_SHOWN]:
            out.print(Text.assemble(("✗ ", "bold red"), f"{run}  {what}"), soft_wrap=True)
        if len(broken) > BROKEN_SHOWN:
            out.print(Text(f"  … {len(broken) - BROKEN_SHOWN:,} more"))
        verdict = (
            Text.assemble(("✗ ", "bold red"), f"{counted(len(broken), 'promise')} broken; please report this")
            if broken
            else Text.assemble(("✓ ", "green"), f"all is well, schema version {version}")
        )
        out.print(verdict.append(f"  {database}", "bright_black"), soft_wrap=True)
    sys.exit(1 if broken else 0)


@command.command("prune", short_help="Delete runs that ended long ago.")
@with_setup
@duration_option("--older-than", default="30d", help="How long ago a run must have ended.")
@json_option
@pass_setup
def prune(setup: Setup, older_than: float, as_json: bool) -> None:
    """Delete runs that ended longer ago than this, with their steps, in small transactions.

    \b
    Example:
      segue db prune --older-than 90d
    """
    with setup.segue() as segue:
        pruned = segue.prune(older_than=timedelta(seconds=older_than))
    if as_json:
        print_json({"pruned": pruned, "older_than_seconds": older_than})
    else:
        console().print(Text(f"{counted(pruned, 'run')} pruned"))


@command.command("info", short_help="Show what this database is and contains.")
@with_setup
@json_option
@pass_setup
def info(setup: Setup, as_json: bool) -> None:
    """Show which database this is, which version its tables have, and how many runs and workers it contains.

    \b
    Example:
      segue db info
    """
    with setup.segue() as segue:
        version = _schema_version(segue)
        with segue.engine.reading() as tx:
            counts = {RunStatus(status).value: count for status, count in tx.all("count_runs")}
            leader = leader_info(tx, "" if segue.namespace == EVERY else segue.namespace)
        now = segue.engine.store.now()
        workers = len(segue.workers())
        dialect, database = segue.engine.store.dialect, without_password(segue.url)
    if as_json:
        print_json(
            {"database": database, "dialect": dialect, "schema_version": version, "runs": counts, "workers": workers}
            | {"chores": leader.host if leader is not None and leader.lease_until > now else None}
        )
        return
    total = sum(counts.values())
    runs = Text(f"{total:,}")
    if total:
        runs.append(": ").append_text(counts_text(counts))
    for label, value in (
        ("database", database),
        ("dialect", dialect),
        ("schema", f"version {version}"),
        ("runs", runs),
        ("workers", f"{workers:,}"),
        ("chores", _who_leads(leader, now)),
    ):
        console().print(
            Text(f"{label:<9} ", "bright_black").append_text(Text(value) if isinstance(value, str) else value),
            soft_wrap=True,
        )


def _who_leads(leader: LeaderInfo | None, now: datetime) -> str:
    """The process that does the chores, and since when."""
    if leader is None or leader.lease_until <= now:
        return "done by no process"
    return f"done by {leader.host}, begun {ago(leader.since, now)}"


def _schema_version(segue: Segue) -> int:
    """The version of the tables. Raises SchemaError if there are none, or if this Segue needs another version."""
    version = segue.engine.store.schema_version()
    if version == 0:
        raise SchemaError(f"{without_password(segue.url)} has no tables of Segue. Run: segue db upgrade")
    if version < latest(segue.engine.store.dialect):
        raise SchemaError(
            f"{without_password(segue.url)} has schema version {version}, but this Segue needs "
            f"{latest(segue.engine.store.dialect)}. Run: segue db upgrade"
        )
    return version
