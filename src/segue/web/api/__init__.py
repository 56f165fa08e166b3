"""The operations by subject, and how they are called over HTTP below /api/v1."""

from segue.web.api import runs

MODULES = (runs,)
"""What defines operations."""
