"""Payloads that the engine itself needs, for keys of limits and for steps that wait, are fetched between transactions.

A reader inside of a transaction takes what is at hand. If something is not, it raises `PayloadsNeeded`. The transaction
is undone, the payloads are fetched, and the same is done again. So no transaction waits for a payload store.

Promises: what is at hand is known to this thread only, until its act has succeeded; a payload that is missing or
damaged is an error of the step that needs it; a store that does not answer in time is like a database that is busy, so
that an outcome that leads to the step is kept and reported later.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from segue.errors import PayloadError, PayloadUnavailableError, StoreBusyError
from segue.payloads.keeping import Payloads
from segue.plan.frames import has_frame
from segue.plan.payload_frames import PayloadRef, text_through

LONGEST_SECONDS = 10.0
"""How long a process waits for a payload store meanwhile: less than the lease of a worker."""


class PayloadsNeeded(Exception):  # noqa: N818 - a signal to the one that began the transaction, not an error
    """Raised inside of a transaction by a reader of payloads that are not at hand."""

    def __init__(self, payloads: Iterable[PayloadRef]) -> None:
        self.payloads = tuple(payloads)
        super().__init__(
            f"the payload {self.payloads[0].reference} is needed by a step that follows, for the key of a limit or to "
            "wait, and cannot be read in this transaction. Let a step of its own return what is needed"
        )


class _AtHand(threading.local):
    """The texts of payloads, or the errors of those that cannot be read."""

    def __init__(self) -> None:
        self.texts: dict[PayloadRef, str | PayloadError] = {}


_at_hand = _AtHand()


def with_payloads(values: Mapping[int, str]) -> dict[int, str]:
    """Results of steps with their payloads in place of the references.

    Raises PayloadsNeeded, or the PayloadError of one that cannot be read.
    """
    if not any(map(has_frame, values.values())):
        return dict(values)
    needed: dict[PayloadRef, None] = {}

    def take(payload: PayloadRef) -> str:
        found = _at_hand.texts.get(payload)
        if found is None:
            needed[payload] = None
            return "null"
        if isinstance(found, PayloadError):
            raise found
        return found

    opened = {step: text_through(text, take) for step, text in values.items()}
    if needed:
        raise PayloadsNeeded(needed)
    return opened


def fetch(payloads: Payloads | None, needed: PayloadsNeeded) -> None:
    """Have these at hand from now on. Raises StoreBusyError if the payload store does not answer."""
    found: dict[PayloadRef, Any] = {}
    thread = threading.Thread(target=_fetch, args=(payloads, needed.payloads, found), daemon=True)
    thread.start()
    thread.join(LONGEST_SECONDS)
    for payload in needed.payloads:
        text = found.get(payload)
        if text is None or isinstance(text, PayloadUnavailableError):
            why = text or f"the payload store has not answered for {LONGEST_SECONDS:g} s"
            raise StoreBusyError(
                f"the payload {payload.reference} is needed for the key of a limit or by a step that waits: {why}"
            )
        _at_hand.texts[payload] = text


def forget() -> None:
    """What was at hand has been used."""
    if _at_hand.texts:
        _at_hand.texts = {}


def _fetch(payloads: Payloads | None, needed: Iterable[PayloadRef], found: dict[PayloadRef, Any]) -> None:
    for payload in needed:
        try:
            if payloads is None:
                raise PayloadError(
                    f"the payload {payload.reference} cannot be read, because this process has no payload store. Give "
                    "it the one in which the value lies: SEGUE_PAYLOADS"
                )
            found[payload] = payloads.text_of(payload)
        except Exception as error:  # noqa: BLE001 - it is raised where the payload is needed
            found[payload] = error if isinstance(error, PayloadError) else PayloadError(str(error))
