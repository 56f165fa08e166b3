"""Finds the code of a project: the tasks of every installed app."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import module_has_submodule

from segue.contrib.django.settings import project_settings

_OURS = "segue.contrib.django"
BACKEND = f"{_OURS}.tasks"


def task_modules() -> Iterator[str]:
    """The modules of the installed apps in which tasks are looked for; finding one imports nothing."""
    names = project_settings().task_modules
    for app in apps.get_app_configs():
        if app.name != _OURS:
            for name in names:
                if module_has_submodule(app.module, name):
                    yield f"{app.name}.{name}"
    if uses_backend():
        yield BACKEND


def uses_backend() -> bool:
    """Whether TASKS in the settings names our backend of Django's own tasks."""
    return any(
        str(each.get("BACKEND", "")).startswith(f"{BACKEND}.") for each in getattr(settings, "TASKS", {}).values()
    )


def discover_tasks() -> tuple[str, ...]:
    """Import them all. Returns their names."""
    found = tuple(task_modules())
    for module in found:
        import_module(module)
    return found
