"""What every sub-command takes, before or after its name: the database, the user's modules, how errors are shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from segue.cli.application import import_modules
from segue.client import Segue
from segue.config import DATABASE_VARIABLE, database_option, database_url
from segue.errors import ConfigError

APP_VARIABLE = "SEGUE_APP"
AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])
_COMMAND = re.compile(r"(?<![\w/.-])segue(?= [a-z])(?!.*--database)")
"""The word `segue` in a command that names no database: the options of all commands may stand behind it."""


@dataclass(slots=True)
class Setup:
    """What was said about the surroundings of a command."""

    database: str | None = None
    apps: tuple[str, ...] = ()
    debug: bool = False

    def segue(self) -> Segue:
        """The database that was named; raises ConfigError when none was. Close it after use."""
        return Segue(self.url)

    @property
    def url(self) -> str:
        """The database that was named; raises ConfigError when none was."""
        try:
            return database_url(self.database)
        except ConfigError as error:
            raise ConfigError(
                "No database was named. Give --database sqlite:///segue.db (or postgresql://user@host/name), "
                f"or set {DATABASE_VARIABLE}."
            ) from error

    def follow_up(self, text: str) -> str:
        """A text whose `segue ...` commands name the database that this command was given, so that they may be copied.

        What was said by the environment holds for them, too. A password is not shown: then they name no database.
        """
        option = database_option(self.database)
        return _COMMAND.sub(lambda found: f"{found[0]} {option}", text) if option else text

    def import_apps(self, *, required: bool = False) -> tuple[str, ...]:
        """Import the modules that -A named, and return them; raises ConfigError."""
        if required and not self.apps:
            raise ConfigError(
                "No module was named. Say which one defines the tasks: -A package.module "
                f"(as in `from package.module import ...`), or set {APP_VARIABLE}."
            )
        import_modules(self.apps)
        return self.apps


def with_setup(function: AnyCallable) -> AnyCallable:
    """Give a command the options of `Setup`; the function takes it with `click.make_pass_decorator`, or not at all."""
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
    """Remember a value: the command line wins over the environment, and what stands later over what stands earlier."""
    setup = ctx.ensure_object(Setup)
    name = str(param.name)
    if name == "apps":
        value = tuple(module for given in value for module in given.split(",") if module)
    was_typed = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    if value and (was_typed or not getattr(setup, name)):
        setattr(setup, name, value)


pass_setup = click.make_pass_decorator(Setup, ensure=True)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
