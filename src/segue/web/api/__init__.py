"""The operations by subject, and how they are called over HTTP below /api/v1."""

from segue.web.api import (
    access,
    definitions,
    errors,
    events,
    following,
    limits,
    revealing,
    runs,
    saved_views,
    schedules,
    selections,
    steps,
    system,
)

MODULES = (
    access,
    definitions,
    errors,
    events,
    following,
    limits,
    revealing,
    runs,
    saved_views,
    schedules,
    selections,
    steps,
    system,
)
"""What defines operations."""
