"""Runs in the admin, to look at: which there are, and for each its steps, its error and why it does not move.

Nothing can be changed here. `segue` in Python and `manage.py segue` pause, retry and cancel runs.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from segue.contrib.django.models import Run
from segue.contrib.django.project import segue
from segue.plan.namespaces import prefix_of

MOST_STEPS = 500
BREAK = mark_safe("<br>")


@admin.register(Run)
class RunAdmin(admin.ModelAdmin):
    """The runs of the project's namespace."""

    list_display = ("short_id", "name", "key", "status", "created_at", "finished_at")
    list_filter = ("status", "created_at")
    search_fields = ("id", "workflow", "key")
    show_full_result_count = False
    fields = (
        "id", "name", "key", "status", "created_at", "started_at", "finished_at", "error", "why", "steps",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: Any) -> Any:
        """From the database that SEGUE names, and only the namespace of the project."""
        found = super().get_queryset(request).using(segue.project.database)
        prefix = prefix_of(segue.namespace)
        if prefix:
            return found.filter(workflow__startswith=prefix)
        return found

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        """Runs are started in code."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Only Segue changes them."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """They are pruned by their age."""
        return False

    @admin.display(description="run", ordering="id")
    def short_id(self, run: Run) -> str:
        """The end of the id: the beginning is a time, which runs of one minute share."""
        return f"…{str(run.id)[-12:]}"

    @admin.display(description="error")
    def error(self, run: Run) -> str:
        """The failure that decided how it ended."""
        found = segue.get(run.id).info().error
        return "-" if found is None else f"{found.step}: {found.type}: {found.message}"

    @admin.display(description="why it is as it is")
    def why(self, run: Run) -> str:
        """The reasons of `segue explain`."""
        said: str = format_html_join(BREAK, "{}", ((str(reason),) for reason in segue.get(run.id).explain()))
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
                    "" if step.error is None else f"{step.error.type}: {step.error.message}",
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
