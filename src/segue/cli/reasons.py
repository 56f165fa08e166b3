"""Reasons why a run does not move, as they are drawn: each with its glyph, its colour, and a word for narrow places.

`segue explain` shows all reasons of a run. Lists, trees and the live view have room for one, the main reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.text import Text

from segue.cli.options import Setup
from segue.cli.wording import STYLES
from segue.client import Run, Segue
from segue.client.masked_views import without_secrets
from segue.client.views import Reason, RunInfo
from segue.client.wording import GLYPHS
from segue.errors import RunNotFoundError
from segue.model import StepStatus

MOST_EXPLAINED = 50
"""Runs of a list whose reasons are read; each takes a few milliseconds."""


class Drawn(NamedTuple):
    """How reasons of one code look."""

    glyph: str
    style: str
    word: str


_REASONS = {
    "running": Drawn("▶", "yellow", "running"),
    "ending": Drawn("▶", "yellow", "ending"),
    "unfinished": Drawn("▶", "yellow", "running"),
    "sent": Drawn("◌", "yellow", "sent"),
    "to_be_sent": Drawn("○", "cyan", "to be sent"),
    "delayed": Drawn("◷", "cyan", "delayed"),
    "sleeping": Drawn("◷", "cyan", "sleeping"),
    "retrying": Drawn("◷", "cyan", "retries later"),
    "debounced": Drawn("◷", "cyan", "collects starts"),
    "deferred": Drawn("◷", "cyan", "waits for its code"),
    "waiting_for_event": Drawn("◷", "cyan", "waits for message"),
    "waiting_for_place": Drawn("○", "cyan", "workers busy"),
    "waiting_for_share": Drawn("○", "cyan", "waits for share"),
    "waiting_for_admission": Drawn("○", "cyan", "waits for limit"),
    "limited": Drawn("○", "cyan", "waits for limit"),
    "rate_limited": Drawn("◷", "cyan", "waits for rate"),
    "blocked": Drawn("·", "bright_black", "blocked"),
    "paused": Drawn("‖", "blue", "paused"),
    "final": Drawn(" ", "", ""),
}
_ALARMS = {
    "no_worker": "no worker",
    "no_worker_on_queue": "no worker on queue",
    "unknown_task": "unknown task",
    "lost": "worker lost",
}
_MOVES = {"running", "ending", "unfinished", "sent", "to_be_sent"}


def drawn(code: str) -> Drawn:
    """How a reason of this code looks. One that only a person can remove is an exclamation mark."""
    known = _REASONS.get(code)
    if known is not None:
        return known
    if code in ("succeeded", "failed", "skipped", "cancelled"):
        return Drawn(GLYPHS[code], STYLES[code], code)
    return Drawn("!", "bold red", _ALARMS.get(code, code.replace("_", " ")))


def main_reason(reasons: Sequence[Reason]) -> Reason | None:
    """Why the run as a whole does not move: None if it does, or has ended.

    A reason that only a person can remove comes before all that pass by themselves.
    """
    codes = {reason.code for reason in reasons}
    if not reasons or "final" in codes or ("paused" not in codes and codes & _MOVES):
        return None
    by_people = (reason for reason in reasons if reason.code == "paused" or is_alarm(reason))
    return next(by_people, reasons[0])


def is_alarm(reason: Reason) -> bool:
    """Whether only a person can remove it."""
    return reason.code not in _REASONS


def main_reasons(setup: Setup, segue: Segue, ids: Iterable[str]) -> dict[str, Reason]:
    """The main reasons of the first runs among these; a run that moves has none.

    Their commands name the database if this command does.
    """
    found: dict[str, Reason] = {}
    for _, id_ in zip(range(MOST_EXPLAINED), ids, strict=False):
        try:
            reason = main_reason(Run(segue.engine, id_).explain())
        except RunNotFoundError:  # pruned meanwhile
            continue
        if reason is not None:
            shown = without_secrets(reason)
            found[id_] = Reason(shown.code, shown.step, setup.follow_up(shown.text))
    return found


def resting(runs: Collection[RunInfo], counts: Mapping[str, Mapping[StepStatus, int]]) -> list[str]:
    """The ids of those runs that have not ended and have no running step."""
    return [run.id for run in runs if not run.status.is_final and not counts.get(run.id, {}).get(StepStatus.RUNNING)]


def reason_text(reason: Reason) -> Text:
    """A reason as a line: its step in bold, and what is said of it."""
    return Text.assemble((f"{reason.step}: ", "bold"), reason.text) if reason.step else Text(reason.text)


def reason_word(reason: Reason) -> Text:
    """A reason in a word or two, for a column of a table."""
    look = drawn(reason.code)
    return Text(f"{look.glyph} {look.word}", look.style)
