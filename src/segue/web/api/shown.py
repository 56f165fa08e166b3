"""Runs and steps as operations answer them: without secrets."""

from __future__ import annotations

from typing import Any

import msgspec

from segue.client import Run
from segue.client.records import run_record
from segue.client.views import RunInfo, StepInfo
from segue.client.without_secrets import shown_step
from segue.jsonable import Jsonable
from segue.model import StepStatus
from segue.web.operations import Call


class RunDetail(Jsonable, msgspec.Struct, frozen=True, omit_defaults=True):
    """A run, and the number of its steps in each status."""

    run: RunInfo
    counts: dict[StepStatus, int]
    is_new: bool | None = None  # of a start or fork: whether it began this run, or found it under its key

    def to_dict(self) -> dict[str, Any]:
        """The fields of the run, `counts`, and `is_new` of a start or fork."""
        shown = run_record(self.run, self.counts)
        return shown if self.is_new is None else shown | {"is_new": self.is_new}


def detail(call: Call, run: Run) -> RunDetail:
    """A run as it is now."""
    return RunDetail(masked_run(call, run.info()), run.counts(), run.is_new)


def masked_run(call: Call, info: RunInfo) -> RunInfo:
    """A run without its secrets."""
    return call.masker.run(info)


def masked_step(call: Call, info: StepInfo) -> StepInfo:
    """A step without the secrets among its values; long ones are cut."""
    return shown_step(call.masker, info)
