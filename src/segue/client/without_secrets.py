"""Runs and steps as they are shown to others: without the secrets among their values, and with long values cut."""

from __future__ import annotations

from typing import Any

import msgspec

from segue.client.argument_masking import ArgumentMasker
from segue.client.records import run_record
from segue.client.views import RunInfo
from segue.masking import masked
from segue.model import StepStatus

SHOWN_IN_JSON = 100_000
"""Characters of a value in a JSON document."""


def shown_run(masker: ArgumentMasker, run: RunInfo, counts: dict[StepStatus, int] | None = None) -> dict[str, Any]:
    """A run as a JSON object, without its secrets."""
    return run_record(masker.run(run), counts)


def json_value(value: Any) -> Any:
    """A value for a JSON document; the beginning of its text if it is longer than SHOWN_IN_JSON."""
    shown = masked(value)
    text = msgspec.json.encode(shown).decode()
    return shown if len(text) <= SHOWN_IN_JSON else f"{text[:SHOWN_IN_JSON]}… ({len(text):,} characters)"
