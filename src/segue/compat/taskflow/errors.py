"""What goes wrong with names of Taskflow only."""

from __future__ import annotations

from segue.errors import SegueError


class AlreadyQueuedError(SegueError, ValueError):
    """An instance with this `unique` has not ended, so another one was not started."""
