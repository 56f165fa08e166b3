"""A line in the log for each run that failed, from the process that ended it.

Promise: it never raises. A program that has no log of its own prints nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from segue.model import FailureInfo
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.runs")
logger.logger.addHandler(logging.NullHandler())

_decode = msgspec.json.Decoder(FailureInfo).decode


def say_failed(runs: Iterable[tuple[str, str | None]]) -> None:
    """Log that these runs failed: the id of each, and the JSON of its failure."""
    for run_id, error in runs:
        logger.error("run %s failed%s", run_id, _why(error), extra={"run": run_id, "outcome": "failed"})


def _why(error: str | None) -> str:
    if error is None:
        return ""
    try:
        failure = _decode(error)
    except msgspec.MsgspecError:
        return f": {error}"
    return f": step {failure.step}: {failure.type}: {failure.message}"
