"""Admission if a limit, or a run that waits for it, causes an error: each is handled separately."""

from __future__ import annotations

from segue.engine.act import Act
from segue.engine.acts import Acts
from segue.engine.limiting import admission
from segue.engine.limiting.places import LimitKey
from segue.engine.scope import OF_ALL, Scope, SteppingActs, on_its_own
from segue.engine.stored import storable
from segue.errors import PASSING_ERRORS
from segue.model import RUN, ErrorInfo
from segue.observing.harmless_log import get_logger

CHORE = "admission"
RUNS_AT_ONCE = 20

logger = get_logger("segue.chores")


def admit_apart(engine: SteppingActs, after: LimitKey, error: Exception) -> tuple[int, LimitKey | None]:
    """Admit for each limit and key of a batch separately. Returns how many, and where to continue."""
    if engine.once.is_news((CHORE, type(error), str(error)[:200])):
        logger.warning("admission: limits are checked one by one, because it failed for all: %s", error)
    with engine.reading() as tx:
        limit_keys, further = admission.waiting_limit_keys(tx, after)
    runs = 0
    for limit_key in sorted(limit_keys):
        try:
            runs += engine.act(_admit_limit_key, limit_key=limit_key)
        except OF_ALL:
            raise
        except PASSING_ERRORS:
            continue  # the next check finds it again
        except Exception as why:  # noqa: BLE001 - caused by a run that waits, or by the limit itself
            runs += _admit_each(engine, limit_key, why)
    return runs, further


def _admit_each(engine: SteppingActs, limit_key: LimitKey, error: Exception) -> int:
    """Admit run by run: one that cannot be admitted is ended, so that those behind it get their turn."""
    try:
        engine.act(_admit_limit_key, limit_key=limit_key, only="")
    except OF_ALL:
        raise
    except Exception as why:  # noqa: BLE001 - without admitting any run: the limit is at fault, not a run
        if engine.once.is_news((CHORE, limit_key)):
            logger.error("admission: the limit %s cannot be processed: %s", limit_key[0], why)
        return 0
    with engine.store.transaction() as tx:
        rows = tx.all("waiting_runs", name=limit_key[0], key=limit_key[1], limit=RUNS_AT_ONCE, now=engine.store.now())
        ids = [row[0] for row in rows]
    aside = engine.stepped_back.of(CHORE)
    waiting = [run_id for run_id in ids if run_id not in aside]
    logger.debug("admission: the runs of %s are checked one by one: %s", limit_key[0], error)

    def work(act: Act, scope: Scope) -> int:
        return admission.admit(act, [limit_key], only=scope.only).runs

    return sum(on_its_own(engine, CHORE, run_id, work, _give_up) for run_id in waiting)


def _admit_limit_key(act: Act, *, limit_key: LimitKey, only: str | None = None) -> int:
    return admission.admit(act, [limit_key], only=only).runs


def _give_up(engine: Acts, run_id: str, error: Exception) -> None:
    text = f"it cannot be admitted, because its rows are damaged: {error}"
    engine.break_run(run_id, RUN, ErrorInfo(type(error).__name__, storable(text)))
