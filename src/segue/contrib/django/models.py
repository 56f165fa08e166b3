"""Segue's runs as Django sees them, for the admin: an unmanaged model that only reads.

Segue makes and changes its tables itself. A project that wants to know about runs uses `segue`, not this.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models

from segue.model import RunStatus
from segue.plan.namespaces import bare


class IdField(models.CharField):
    """A UUID in the form in which Segue shows it, on both databases."""

    def from_db_value(self, value: UUID | str | None, *_: Any) -> str | None:
        """As text, also where the column is a UUID."""
        return None if value is None else str(value)


class Run(models.Model):
    """One run. Its steps have two columns as their key, and are shown with it."""

    id = IdField(primary_key=True, max_length=36)
    workflow = models.TextField()
    key = models.TextField(null=True)
    status = models.TextField(choices=[(str(status), str(status)) for status in RunStatus])
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "segue_runs"
        default_permissions = ("view",)
        permissions = (("operate_run", "Can control runs in the web pages"),)
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.name} {self.id}"

    @property
    def name(self) -> str:
        """The workflow, without its namespace."""
        return bare(str(self.workflow))
