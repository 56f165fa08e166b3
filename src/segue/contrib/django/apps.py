"""The app: what happens when Django starts, and after `manage.py migrate`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate

from segue.authoring.middleware import add_middleware
from segue.contrib.django.connections import DjangoConnections
from segue.contrib.django.discovery import uses_backend
from segue.contrib.django.settings import project_settings


class SegueConfig(AppConfig):
    """Segue in INSTALLED_APPS."""

    name = "segue.contrib.django"
    label = "segue"
    verbose_name = "Segue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect Segue with Django."""
        from segue.contrib.django import checks as ours  # noqa: PLC0415 - after the apps are loaded

        add_middleware(DjangoConnections())
        post_migrate.connect(make_tables, sender=self)
        if uses_backend():
            import_module("django.tasks.checks")  # its OPTIONS are checked before a module with tasks is imported
        checks.register(ours.check_settings, "segue")
        checks.register(ours.check_tasks, "segue")
        checks.register(ours.check_queues, "segue")
        checks.register(ours.check_tables, checks.Tags.database)


def make_tables(using: str, **_: Any) -> None:
    """Make or update Segue's tables after `migrate` on their database; the test runner migrates, too."""
    from segue.contrib.django.project import DjangoSegue  # noqa: PLC0415 - most processes never migrate

    project = project_settings()
    if project.migrate and using == project.database:
        segue = DjangoSegue(project)
        segue.upgrade()
        segue.close()
