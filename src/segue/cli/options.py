"""The options of every sub-command, before or after its name: the database, the modules, how errors are shown."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from segue.cli.application import import_modules
from segue.client import Segue
from segue.config import DATABASE_VARIABLE, NAMESPACE_VARIABLE, database_option, database_url, namespace_name
from segue.errors import ConfigError
from segue.plan.namespaces import EVERY

APP_VARIABLE = "SEGUE_APP"
AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])
_COMMAND = re.compile(r"(?<![\w/.-])segue(?= [a-z])(?!.*--database)")
"""The word `segue` in a command that names no database: the options of all commands may follow it."""


@dataclass(slots=True)
class Setup:
    """The options that all commands share, as given."""

    database: str | None = None
    namespace: str | None = None
    apps: tuple[str, ...] = ()
    debug: bool = False
    said_url: str | None = None  # the first answer of `url`
    program: str = "segue"  # what is typed for `segue`; another program names the database by itself

    def segue(self) -> Segue:
        """The database that was named. Raises ConfigError if none was. Close it after use."""
        segue = Segue(self.url, namespace=self.namespace)
        if self.namespace is not None and segue.namespace != EVERY:  # also for tasks that create a `Segue()` themselves
            os.environ[NAMESPACE_VARIABLE] = segue.namespace
        if self.database is None:  # for tasks that create a `Segue()` themselves, in any working directory
            os.environ[DATABASE_VARIABLE] = segue.url
        return segue

    @property
    def sees_all(self) -> bool:
        """Whether it covers all namespaces."""
        return namespace_name(self.namespace) == EVERY

    @property
    def url(self) -> str:
        """The URL of the database that was named. Raises ConfigError if none was."""
        try:
            self.said_url = self.said_url or database_url(self.database)
            return self.said_url
        except ConfigError as error:
            raise ConfigError(
                "No database was named. Give --database sqlite:///segue.db (or postgresql://user@host/name), "
                f"or set {DATABASE_VARIABLE}."
            ) from error

    def follow_up(self, text: str) -> str:
        """Add this command's database and namespace to the `segue ...` commands in a text, so that they can be copied.

        Values from the environment apply to them as well, and are not added. A password is never shown: such a database
        is not added.
        """
        if self.program != "segue":
            return _COMMAND.sub(self.program, text)
        said = [] if self.namespace is None else [f"--namespace {shlex.quote(self.namespace)}"]
        option = " ".join([*filter(None, [database_option(self.database)]), *said])
        return _COMMAND.sub(lambda found: f"{found[0]} {option}", text) if option else text

    def import_apps(self, *, required: bool = False) -> tuple[str, ...]:
        """Import the modules that -A named, and return them. Raises ConfigError."""
        if required and not self.apps:
            raise ConfigError(
                "No module was named. Name the one that defines the tasks: -A package.module "
                f"(as in `from package.module import ...`), or set {APP_VARIABLE}."
            )
        import_modules(self.apps)
        return self.apps


def with_setup(function: AnyCallable) -> AnyCallable:
    """Give a command the options of `Setup`. The function may receive it: `click.make_pass_decorator`."""
    for option in (
        click.option("--debug", is_flag=True, expose_value=False, callback=_keep, help="Show tracebacks of errors."),
        click.option(
            "--app",
            "-A",
            "apps",
            metavar="MODULE",
            multiple=True,
            expose_value=False,
            callback=_keep,
            help=f"Import this module, which defines tasks and workflows (repeatable). [env: {APP_VARIABLE}]",
            envvar=APP_VARIABLE,
        ),
        click.option(
            "--namespace",
            metavar="NAME",
            expose_value=False,
            callback=_keep,
            help=f"The namespace of runs, schedules and limits; '*' for all. [env: {NAMESPACE_VARIABLE}]",
        ),
        click.option(
            "--database",
            metavar="URL",
            expose_value=False,
            callback=_keep,
            help=f"sqlite:///file.db or postgresql://user@host/name. [env: {DATABASE_VARIABLE}]",
        ),
    ):
        function = option(function)
    return function


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Remember a value: the command line overrides the environment, and a later option overrides an earlier one."""
    setup = ctx.ensure_object(Setup)
    name = str(param.name)
    if name == "apps":
        value = tuple(module for given in value for module in given.split(",") if module)
    was_typed = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    is_default_namespace = name == "namespace" and value == "" and was_typed
    if is_default_namespace or (value and (was_typed or not getattr(setup, name))):
        setattr(setup, name, value)


pass_setup = click.make_pass_decorator(Setup, ensure=True)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
