"""Segue's runs and steps as Django sees them, for the admin: unmanaged models that only read.

Segue makes and changes its tables itself. A project that wants to know about runs uses `segue`, not this.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models

from segue.model import RunStatus, StepStatus
from segue.plan.namespaces import bare


class IdField(models.CharField):
    """A UUID in the form in which Segue shows it, on both databases."""

    def from_db_value(self, value: UUID | str | None, *_: Any) -> str | None:
        """As text, also where the column is a UUID."""
        return None if value is None else str(value)


class Run(models.Model):
    """One run."""

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


class Step(models.Model):
    """One step, to be listed. The key of the table has two columns, so only its run can be looked up."""

    run = models.OneToOneField(
        Run, primary_key=True, on_delete=models.DO_NOTHING, db_column="run_id", db_constraint=False, related_name="+"
    )
    number = models.IntegerField(db_column="step")
    name = models.TextField()
    task = models.TextField(null=True)
    status = models.TextField(choices=[(str(status), str(status)) for status in StepStatus])
    queue = models.TextField()
    attempt = models.IntegerField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(null=True)  # JSON

    class Meta:
        managed = False
        db_table = "segue_steps"
        default_permissions = ("view",)
        ordering = ("-run", "-number")

    def __str__(self) -> str:
        return f"{self.name} of {self.run_id}"
