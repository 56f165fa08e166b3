"""`segue subscriptions`: sends notifications of events, at least once."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from segue.authoring import notify, webhook
from segue.authoring.compose import Element, as_element
from segue.authoring.secrets import Typed
from segue.authoring.webhook import WebhookOptions
from segue.cli.across import records, with_namespaces
from segue.cli.application import find_work
from segue.cli.completing import complete_workflows
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.cli.usage import Commands
from segue.cli.who import Who, who_option
from segue.cli.wording import STYLES
from segue.client.records import destination, subscription_record


@click.group(cls=Commands, short_help="Send notifications of events.")
def command() -> None:
    """Send notifications of events: webhooks, mails, chat messages. Each event starts a run of `segue.notification`.

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
    """List the subscriptions. The secret parts of a target are not shown.

    With --json: a list of {name, events, workflow, to, is_active, created_at}.

    \b
    Example:
      segue subscriptions list
    """
    with setup.segue() as segue:
        found = segue.subscriptions.list()
    if as_json:
        print_json(records(setup, found, subscription_record))
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
    put(out, with_namespaces(setup, table, found))


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
    help="An http(s) URL gets a webhook, any other URL an Apprise message; or a task, which receives the event.",
)
@click.option("--workflow", metavar="NAME", shell_complete=complete_workflows, help="Only runs of this workflow.")
@click.option("--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="Sent with the webhook (repeatable).")
@click.option("--secret-env", metavar="VARIABLE", help="The workers' variable with the secret that signs the webhook.")
@click.option("--queue", metavar="NAME", help="The queue that the notifications wait on.")
@who_option
@json_option
@pass_setup
def add_command(
    setup: Setup, name: str, events: tuple[str, ...], to: str, workflow: str | None, headers: tuple[str, ...],
    secret_env: str | None, queue: str | None, as_json: bool, who: Who,
) -> None:  # fmt: skip
    """Add a subscription, or replace the one of this name. It takes effect within about a second.

    Write '${SEGUE_SECRET_NAME}' for a secret in a URL or header: the worker that sends it fills it in from its
    environment.
    With --json: the subscription as in `list`.

    \b
    Example:
      segue subscriptions add on-call --event run.failed --to 'slack://${SEGUE_SECRET_SLACK}/#ops'
      segue subscriptions add billing --event run.succeeded --workflow shop.invoice \\
          --to https://example.org/hooks --secret-env HOOK_SECRET
    """
    target = _target(setup, to, headers, secret_env)
    if queue is not None:
        target = target.options(queue=queue)
    with setup.segue() as segue:
        segue.subscriptions.add(name, events=events, to=target, workflow=workflow, **who)
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
    @who_option
    @json_option
    @pass_setup
    def change(setup: Setup, name: str, as_json: bool, who: Who) -> None:
        with setup.segue() as segue:
            getattr(segue.subscriptions, verb)(name, **who)
        if as_json:
            print_json({"name": name, "did": verb})
        else:
            console().print(Text(f"{name} {said}"), soft_wrap=True)


_verb("remove", "Remove a subscription; notifications that have started continue.", "is removed")
_verb("deactivate", "Switch a subscription off; events that happen meanwhile are never sent.", "is inactive")
_verb("activate", "Switch a subscription on, from now.", "is active")


def _target(setup: Setup, to: str, headers: tuple[str, ...], secret_env: str | None) -> Element:
    scheme = to.partition("://")[0] if "://" in to else ""
    if scheme not in ("http", "https") and (headers or secret_env):
        raise click.UsageError("--header and --secret-env are for webhooks; --to is not an http(s) URL.")
    if not scheme:
        setup.import_apps()
        return as_element(find_work(to), "to")
    if scheme not in ("http", "https"):
        return notify.s(Typed(to))
    options: WebhookOptions = {"headers": dict(map(_header, headers))}
    if secret_env is not None:
        options["secret_env"] = secret_env
    return webhook.s(Typed(to), **options)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is not a header; write it like 'X-Shop: north'.", param_hint="--header")
    return name.strip(), Typed(value.strip())
