"""`segue subscriptions`: who is told of events, at least once."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import click
import msgspec
from rich.table import Table
from rich.text import Text

from segue.authoring import notify, webhook
from segue.authoring.compose import Element, as_element
from segue.authoring.webhook import WebhookOptions, place_of
from segue.cli.application import find_work
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.pictures import DIM
from segue.cli.printing import console, print_json, put
from segue.cli.wording import STYLES
from segue.engine.subscriptions import SubscriptionInfo
from segue.plan import codec


@click.group(short_help="Tell somebody when something happens.")
def command() -> None:
    """Tell somebody when something happens: a webhook, a mail, a chat. Each event is a run of `segue.notification`.

    \b
    Example:
      segue subscriptions add on-call --event run.failed --event 'run.late_*' --to https://example.org/hooks/segue
      segue subscriptions list
    """


@command.command("list", short_help="List the subscriptions.")
@with_setup
@json_option
@pass_setup
def list_command(setup: Setup, as_json: bool) -> None:
    """List the subscriptions. Of where a message goes only what is no secret is shown.

    With --json: a list of {name, events, workflow, to, is_active, created_at}.

    \b
    Example:
      segue subscriptions list
    """
    with setup.segue() as segue:
        found = segue.subscriptions.list()
    if as_json:
        print_json([subscription_record(each) for each in found])
        return
    out = console()
    if not found:
        out.print(
            Text(
                setup.follow_up(
                    "There are no subscriptions. Add one: segue subscriptions add NAME --event run.failed --to URL"
                ),
                DIM,
            ),
            soft_wrap=True,
        )
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for title in ("name", "status", "events", "workflow", "to"):
        table.add_column(title, no_wrap=title in ("name", "status"), overflow="fold")
    for each in found:
        status = Text("active", STYLES["succeeded"]) if each.is_active else Text("inactive", DIM)
        table.add_row(each.name, status, ", ".join(each.events), each.workflow or Text("all", DIM), destination(each))
    put(out, table)


@command.command("add", short_help="Add or replace a subscription.")
@with_setup
@click.argument("name", metavar="NAME")
@click.option(
    "--event",
    "events",
    metavar="KIND",
    multiple=True,
    required=True,
    help="A kind of event, or a pattern like 'run.*' (repeatable).",
)
@click.option(
    "--to",
    metavar="TARGET",
    required=True,
    help="An http(s) URL gets a webhook, any other an Apprise message; or the name of a task, given the event.",
)
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option("--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="Sent with the webhook (repeatable).")
@click.option("--secret-env", metavar="VARIABLE", help="The workers' variable with the secret that signs the webhook.")
@click.option("--queue", metavar="NAME", help="The queue that the notifications wait on.")
@json_option
@pass_setup
def add_command(
    setup: Setup, name: str, events: tuple[str, ...], to: str, workflow: str | None, headers: tuple[str, ...],
    secret_env: str | None, queue: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Add a subscription; one of this name is replaced. It counts from about a second later on.

    Write '${NAME}' in a URL or header for what is secret: it is filled from the environment of the worker that sends.
    With --json: the subscription as in `list`.

    \b
    Example:
      segue subscriptions add on-call --event run.failed --to 'slack://${SLACK_TOKEN}/#ops'
      segue subscriptions add billing --event run.succeeded --workflow shop.invoice \\
          --to https://example.org/hooks --secret-env HOOK_SECRET
    """
    target = _target(setup, to, headers, secret_env)
    if queue is not None:
        target = target.options(queue=queue)
    with setup.segue() as segue:
        segue.subscriptions.add(name, events=events, to=target, workflow=workflow)
        added = next(each for each in segue.subscriptions.list() if each.name == name)
    if as_json:
        print_json(subscription_record(added))
        return
    of = f" of {workflow}" if workflow else ""
    console().print(Text(f"{name}: {', '.join(events)}{of} → {destination(added)}"), soft_wrap=True)


def _verb(verb: str, what: str, said: str) -> None:
    @command.command(verb, short_help=what, help=f"{what}\n\n\b\nExample:\n  segue subscriptions {verb} on-call")
    @with_setup
    @click.argument("name", metavar="NAME")
    @json_option
    @pass_setup
    def change(setup: Setup, name: str, as_json: bool) -> None:
        with setup.segue() as segue:
            getattr(segue.subscriptions, verb)(name)
        if as_json:
            print_json({"name": name, "did": verb})
        else:
            console().print(Text(f"{name} {said}"), soft_wrap=True)


_verb("remove", "Remove a subscription; notifications that were started go on.", "is removed")
_verb("deactivate", "Switch a subscription off; what happens meanwhile is not told later.", "is inactive")
_verb("activate", "Switch a subscription on, from now.", "is active")


def subscription_record(each: SubscriptionInfo) -> dict[str, Any]:
    """A subscription as JSON."""
    return {
        "name": each.name,
        "events": list(each.events),
        "workflow": each.workflow,
        "to": destination(each),
        "is_active": each.is_active,
        "created_at": each.created_at.isoformat(),
    }


def destination(each: SubscriptionInfo) -> str:
    """Where a subscription leads, without what may be secret: a path, a query, a password, an Apprise URL's tokens."""
    shown = []
    for node in codec.decode(each.target).nodes:
        if node.task is None:
            continue
        url = msgspec.json.decode(node.args)[1].get("url", "")
        place = place_of(url) if urlsplit(url).scheme in ("http", "https") else f"{url.partition('://')[0]}://…"
        shown.append(f"{node.task.removeprefix('segue.')} {place}" if url else node.task)
    return ", ".join(shown)


def _target(setup: Setup, to: str, headers: tuple[str, ...], secret_env: str | None) -> Element:
    scheme = to.partition("://")[0] if "://" in to else ""
    if scheme not in ("http", "https") and (headers or secret_env):
        raise click.UsageError("--header and --secret-env are for webhooks; --to is no http(s) URL.")
    if not scheme:
        setup.import_apps()
        return as_element(find_work(to), "to")
    if scheme not in ("http", "https"):
        return notify.s(to)
    options: WebhookOptions = {"headers": dict(map(_header, headers))}
    if secret_env is not None:
        options["secret_env"] = secret_env
    return webhook.s(to, **options)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is no header; write it like 'X-Shop: north'.", param_hint="--header")
    return name.strip(), value.strip()
