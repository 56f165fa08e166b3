"""Finds the run that a person means by the beginning or the end of its id.

An id begins with its time, so the runs of a minute have ids that begin alike. Its end is random: the last digits are
the short id that tables show (`segue.model.short_id`). An index finds a run by these, and a longer end by them as well.
"""

from __future__ import annotations

from segue.engine.views.look import run_infos
from segue.engine.views.select import LAST_ID
from segue.errors import RunNotFoundError
from segue.model import SHORT_ID_DIGITS
from segue.store.protocol import Transaction
from segue.times import full_time

CANDIDATES_NAMED = 5
_DIGITS = frozenset("0123456789abcdef")


def find_run(tx: Transaction, given: str, *, prefix: str | None = None) -> str:
    """The id that begins or ends with `given`, of a run of the namespace.

    Raises RunNotFoundError unless there is exactly one; if there are several, the message lists them.
    """
    digits = given.replace("-", "").lower()
    if not digits or len(digits) > 32 or not set(digits) <= _DIGITS:
        raise RunNotFoundError(f"{given!r} is not the id of a run, or a part of it. `segue runs` lists them.")
    found = _beginning(tx, digits, prefix)
    if SHORT_ID_DIGITS <= len(digits) < 32:
        found = sorted({*found, *_ending(tx, digits, prefix)})
    if not found:
        raise RunNotFoundError(f"{_none(given, digits)} `segue runs` lists them.")
    if len(found) > 1:
        raise RunNotFoundError(_several(tx, given, found))
    return found[0]


def ids_between(beginning: str) -> tuple[str, str]:
    """The first id that begins with these digits, and the first one after all of them.

    Raises RunNotFoundError for a text that no id begins with.
    """
    digits = beginning.replace("-", "").lower()
    if len(digits) > 32 or not set(digits) <= _DIGITS:
        raise RunNotFoundError(f"{beginning!r} is not the beginning of the id of a run. `segue runs` lists them.")
    after = f"{int(digits or '0', 16) + 1:0{len(digits)}x}"
    return _dashed(digits.ljust(32, "0")), LAST_ID if len(after) > len(digits) else _dashed(after.ljust(32, "0"))


def _beginning(tx: Transaction, digits: str, prefix: str | None) -> list[str]:
    low, high = _dashed(digits.ljust(32, "0")), _dashed(digits.ljust(32, "f"))
    rows = tx.all("runs_like", low=low, high=high, prefix=prefix, limit=CANDIDATES_NAMED + 1)
    return [str(row[0]) for row in rows]


def _ending(tx: Transaction, digits: str, prefix: str | None) -> list[str]:
    rows = tx.all("runs_ending", ending=digits[-SHORT_ID_DIGITS:], prefix=prefix)
    return [id_ for id_ in (str(row[0]) for row in rows) if id_.replace("-", "").endswith(digits)]


def _none(given: str, digits: str) -> str:
    if len(digits) < SHORT_ID_DIGITS:
        return (
            f"No run has an id that begins with {given!r}. To name a run by the end of its id, give its last "
            f"{SHORT_ID_DIGITS} digits."
        )
    return f"No run has an id that begins or ends with {given!r}."


def _several(tx: Transaction, given: str, found: list[str]) -> str:
    """The message that lists the runs among which the user has to choose."""
    runs = run_infos(tx, found[:CANDIDATES_NAMED])
    lines = [f"  {run.id}  {run.workflow}  {run.status}  created {full_time(run.created_at)}" for run in runs]
    more = "\n  … and more" if len(found) > CANDIDATES_NAMED else ""
    return (
        f"Several runs have ids that begin or end with {given!r}. Give more of the id; its last {SHORT_ID_DIGITS} "
        "digits are enough in most cases:\n" + "\n".join(lines) + more
    )


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
