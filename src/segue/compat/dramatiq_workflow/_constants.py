"""Names that dramatiq-workflow's messages had."""

from __future__ import annotations

CALLBACK_BARRIER_TTL = 86_400_000
OPTION_KEY_CALLBACKS = "workflow_completion_callbacks"
