"""Rhythm's exceptions."""

from __future__ import annotations

from segue.errors import SegueError


class WFNotFound(SegueError, LookupError):  # noqa: N818 - the name that projects import
    """No workflow has this id."""


class NonRetryableException(Exception):  # noqa: N818 - the name that projects import
    """For projects: an error of a task that should not be tried again."""
