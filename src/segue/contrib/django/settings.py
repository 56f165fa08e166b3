"""What `SEGUE = {...}` in a project's settings says. Everything has a default, so it may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches

from django.conf import settings

from segue.errors import ConfigError
from segue.given import shown


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """The settings, each under its name in lower case."""

    database: str = "default"  # an alias of DATABASES
    namespace: str | None = None  # SEGUE_NAMESPACE when left out
    task_modules: tuple[str, ...] = ("tasks",)  # imported from every installed app that has them
    queues: tuple[str, ...] | None = None  # those that workers serve; None: any name is as good
    payloads: str | None = None  # a payload store, as in SEGUE_PAYLOADS
    payload_threshold: int | None = None
    migrate: bool = True  # whether `manage.py migrate` makes and updates Segue's tables


_KINDS = (
    ("database", str, "an alias of DATABASES"),
    ("namespace", str | None, "a text"),
    ("migrate", bool, "True or False"),
)


def project_settings() -> ProjectSettings:
    """The project's settings. Raises ConfigError for those that make no sense."""
    given: object = getattr(settings, "SEGUE", {})
    if not isinstance(given, Mapping):
        raise ConfigError(
            f'SEGUE = {shown(given)} in the settings is not a dict. Write SEGUE = {{"NAMESPACE": "shop"}}.'
        )
    known = {field.name.upper(): field.name for field in fields(ProjectSettings)}
    for name in given:
        if name not in known:
            near = get_close_matches(str(name).upper(), known, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(known)}."
            raise ConfigError(f"SEGUE has the key {shown(name)} in the settings, which Segue does not know.{guess}")
    found = {known[name]: value for name, value in given.items()}
    if "task_modules" in found:
        found["task_modules"] = _names(found["task_modules"])
    if found.get("queues") is not None:
        found["queues"] = _queues(found["queues"])
    for name, kind, what in _KINDS:
        if name in found and not isinstance(found[name], kind):
            raise ConfigError(f"SEGUE[{name.upper()!r}] = {shown(found[name])} in the settings is not {what}.")
    return ProjectSettings(**found)


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) and name.isidentifier() for name in value):
        return tuple(value)
    raise ConfigError(
        f"SEGUE['TASK_MODULES'] = {shown(value)} in the settings is not a list of module names. "
        'Write ["tasks", "workflows"]: each is looked for in every installed app.'
    )


def _queues(value: object) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    raise ConfigError(
        f"SEGUE['QUEUES'] = {shown(value)} in the settings is not a list of queues. "
        'Write ["default", "mail"]: the queues that your workers serve.'
    )
