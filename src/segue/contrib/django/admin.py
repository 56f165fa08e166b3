"""Runs and steps in the admin, to look at: which there are, and for each run its error and why it does not move.

Nothing can be changed here. `segue` in Python and `manage.py segue` pause, retry and cancel runs.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from segue.client.masked_views import without_secrets
from segue.contrib.django.models import Run, Step
from segue.contrib.django.project import segue
from segue.engine.stored import error_of
from segue.model import ErrorInfo, FailureInfo
from segue.plan.namespaces import prefix_of

MOST_STEPS = 500
MOST_COUNTED = 10_000
BREAK = mark_safe("<br>")


class BoundedPaginator(Paginator):
    """Counts so many rows and no more: there may be millions."""

    @cached_property
    def count(self) -> int:
        """How many there are, at most MOST_COUNTED."""
        return len(self.object_list.order_by().values_list("pk")[:MOST_COUNTED])


class ReadOnly(admin.ModelAdmin):
    """What only Segue makes and changes: the rows of the project's namespace."""

    show_full_result_count = False
    paginator = BoundedPaginator
    workflow: str

    def get_queryset(self, request: Any) -> Any:
        """From the database that SEGUE names, and only the namespace of the project."""
        found = super().get_queryset(request).using(segue.project.database)
        prefix = prefix_of(segue.namespace)
        return found.filter(**{f"{self.workflow}__startswith": prefix}) if prefix else found

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        """Runs are started in code."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Only Segue changes them."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """They are pruned by their age."""
        return False


@admin.register(Run)
class RunAdmin(ReadOnly):
    """The runs."""

    workflow = "workflow"
    list_display = ("short_id", "name", "key", "status", "created_at", "finished_at")
    list_filter = ("status", "created_at")
    search_fields = ("id", "workflow", "key")
    fields = (
        "id", "name", "key", "status", "created_at", "started_at", "finished_at", "error", "why", "steps",
    )  # fmt: skip
    readonly_fields = fields

    @admin.display(description="run", ordering="id")
    def short_id(self, run: Run) -> str:
        """The end of the id: the beginning is a time, which runs of one minute share."""
        return _short(run.id)

    @admin.display(description="error")
    def error(self, run: Run) -> str:
        """The failure that decided how it ended."""
        found = segue.get(run.id).info().error
        return "-" if found is None else f"{found.step}: {_told(found)}"

    @admin.display(description="why it is as it is")
    def why(self, run: Run) -> str:
        """The reasons of `segue explain`."""
        reasons = map(without_secrets, segue.get(run.id).explain())
        said: str = format_html_join(BREAK, "{}", ((str(reason),) for reason in reasons))
        return said

    @admin.display(description="steps")
    def steps(self, run: Run) -> str:
        """Its steps in a table."""
        found = segue.get(run.id).steps(limit=MOST_STEPS)
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            (
                (
                    step.name, step.status, step.attempt, "" if step.seconds is None else f"{step.seconds:.3f} s",
                    _told(step.error),
                )
                for step in found
                if not step.is_join
            ),
        )  # fmt: skip
        table: str = format_html(
            "<table><thead><tr><th>step</th><th>status</th><th>attempts</th><th>took</th><th>error</th></tr></thead>"
            "<tbody>{}</tbody></table>{}",
            rows,
            "" if len(found) < MOST_STEPS else f"Only the first {MOST_STEPS} steps are shown.",
        )
        return table


@admin.register(Step)
class StepAdmin(ReadOnly):
    """The steps of all runs, to find those that failed, or that wait on a queue."""

    workflow = "run__workflow"
    list_display = ("name", "task", "status", "queue", "attempt", "started_at", "finished_at", "told", "link")
    list_display_links = None
    list_filter = ("status", "started_at")
    list_select_related = ("run",)
    search_fields = ("name", "task", "queue", "run__key")

    def get_queryset(self, request: Any) -> Any:
        """Without joins, which no worker runs."""
        return super().get_queryset(request).exclude(task=None)

    def get_object(self, request: Any, object_id: str, from_field: str | None = None) -> None:
        """No step can be looked up by itself; the page of its run shows it."""

    @admin.display(description="error")
    def told(self, step: Step) -> str:
        """The error of the latest attempt that failed."""
        return _told(error_of(step.error))

    @admin.display(description="run", ordering="run")
    def link(self, step: Step) -> str:
        """Its run."""
        found: str = format_html(
            '<a href="{}">{}</a>', reverse("admin:segue_run_change", args=[step.run_id]), _short(step.run_id)
        )
        return found


def _short(run_id: object) -> str:
    return f"…{str(run_id)[-12:]}"


def _told(error: ErrorInfo | FailureInfo | None) -> str:
    """An error in a line, without secrets."""
    if error is None:
        return ""
    shown = without_secrets(error)
    return f"{shown.type}: {shown.message}"
