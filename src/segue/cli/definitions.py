"""`segue definitions`: the tasks and workflows that the code of workers and schedulers defines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from segue.cli.across import records, with_namespaces
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.client.records import definition_record
from segue.client.views import DefinitionInfo
from segue.errors import UnknownTaskError


@click.command(short_help="List the tasks and workflows that the code defines.")
@with_setup
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--version", metavar="VERSION", help="Of this version of the code, or one that begins with it.")
@click.option("--publish", is_flag=True, help="First store what the modules named with -A define, as workers do.")
@json_option
@pass_setup
def command(setup: Setup, name: str | None, version: str | None, publish: bool, as_json: bool) -> None:
    """List the tasks and workflows that live workers and schedulers define, with their parameters.

    If none is alive, list what the newest code defined. NAME is the full name, or the last part of it. With --json: a
    list of {kind, name, title, description, parameters, result, options, module, qualname, code_hash, problem, version,
    is_live}; `parameters` and `result` are JSON Schemas.

    \b
    Example:
      segue definitions
      segue definitions nightly --json
      segue definitions --publish -A shop.tasks
    """
    if publish:
        setup.import_apps(required=True)
    with setup.segue() as segue:
        if publish:
            version = segue.publish_definitions()
        found = segue.definitions(version=version)
    if name is not None:
        found = [each for each in found if name in (each.name, each.name.rpartition(".")[2])]
        if not found:
            raise UnknownTaskError(f"No known code defines {name!r}. `segue definitions` lists all definitions.")
    if as_json:
        print_json(records(setup, found, definition_record))
        return
    out = console()
    if not found:
        words = "No process with tasks has used this database. Start one: segue worker -A <module>"
        words = words if version is None else f"No version {version} of the code is known."
        out.print(Text(setup.follow_up(words), DIM), soft_wrap=True)
        return
    put(out, with_namespaces(setup, _table(found), found))
    for each in found:
        if each.problem is not None:
            out.print(Text(f"{each.name}: {each.problem}", "yellow"), soft_wrap=True)
    if not any(each.is_live for each in found):
        out.print(Text("No live process has this code.", DIM), soft_wrap=True)


def signature_text(parameters: Mapping[str, Any]) -> str:
    """The parameters on one line: `to: string, copies: integer = 1`."""
    required = parameters.get("required", [])
    words = []
    for name, schema in parameters.get("properties", {}).items():
        is_many = schema.get("x-segue-kind") == "var_positional"
        kind = _kind_text(schema.get("items", {}) if is_many else schema)
        text = f"{'*' if is_many else ''}{name}{f': {kind}' if kind else ''}"
        if "default" in schema:
            text += f" = {json.dumps(schema['default'], ensure_ascii=False)}"
        elif name not in required and not is_many:
            text += " = ..."
        words.append(text)
    if parameters.get("additionalProperties"):
        words.append("**")
    return ", ".join(words)


def _kind_text(schema: Mapping[str, Any]) -> str:
    """The type of a schema in a word or two; "" for any type."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_kind_text(each) or "any" for each in schema["anyOf"])
    kind = schema.get("x-segue-type") or schema.get("format") or schema.get("type", "")
    if kind == "array":
        inner = _kind_text(schema.get("items", {})) if isinstance(schema.get("items"), dict) else ""
        return f"array of {inner}" if inner else "array"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _table(found: Sequence[DefinitionInfo]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for title in ("kind", "name", "parameters", "description"):
        table.add_column(title, no_wrap=title == "kind", overflow="fold")
    for each in found:
        words = Text(each.description or each.title, "" if each.description else DIM)
        table.add_row(each.kind, each.name, signature_text(each.parameters), words)
    return table
