"""The plain exchange: outcomes, the next claim and the commit travel to the server together.

Nearly all turns are alike: steps have succeeded, so their children become ready or their runs end, and the next steps
are claimed. An ordinary turn reads the answers to the outcomes before it commits, and each look is an exchange with the
server. Here the answers are read after the commit. So only what needs no answer is done: `finish_plain` leaves a run as
it is if anything else would follow (a join to pass, a step to skip, a hook, a timer, a pause, a limit). These outcomes
come back as `left`, for an ordinary turn.

Invariant: what is sent is right whatever is answered. A run is locked before its steps are looked at; outcomes are
recorded with compare-and-set; a claim is a claim. What may be lost is said afterwards, in a transaction of its own:
that runs have begun, and that others should wake up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.claiming.assembling import StepKey
from segue.engine.claiming.claim import PlainClaim
from segue.engine.claiming.claimed import ClaimedRow
from segue.engine.claiming.cursor import ClaimCursor
from segue.engine.identity import WorkerIdentity
from segue.engine.locking import begun_runs
from segue.engine.measuring import runs_ended
from segue.engine.notes import begin_runs
from segue.engine.payload_uses import use_results
from segue.engine.record import Recorded
from segue.engine.watch import Watch
from segue.model import Outcome, StepStatus, Verdict
from segue.store.protocol import Finish, Later, Store

_SUCCEEDED = Verdict.SUCCEEDED.value
_RUNNING = StepStatus.RUNNING.value
_NOTHING = (0, 0, (), ())  # recorded, started, ended, and which were recorded


class Exchanged(NamedTuple):
    """What came of a plain exchange."""

    act: Act  # which is over
    rows: list[ClaimedRow]
    results: Mapping[StepKey, str]  # what was recorded, for the claimed steps that refer to it
    left: Sequence[Outcome]  # outcomes that need an ordinary turn
    started: int  # steps that became claimable
    ended: Sequence[str]  # runs
    begun: Collection[str]  # runs that are known to have begun
    is_full: bool  # there may be more to claim
    look_again: bool  # nothing was claimed, but not every place was looked at
    looks_further: bool  # an ordinary turn should look elsewhere for steps
    was_long: bool  # it took long to find too few


def are_plain(outcomes: Sequence[Outcome]) -> bool:
    """Whether these may be plain, judging without the database: successes that printed nothing and leave
    nothing out."""
    if not all(outcome.verdict == _SUCCEEDED and not outcome.output and outcome.detour is None for outcome in outcomes):
        return False
    return len(outcomes) < 2 or len({(outcome.run_id, outcome.step) for outcome in outcomes}) == len(outcomes)


def exchange(
    store: Store, watch: Watch, worker: WorkerIdentity, cursor: ClaimCursor, outcomes: Sequence[Outcome], want: int,
    meanwhile: Callable[[Act], None], *, only_child: int | None = None,
) -> Exchanged:  # fmt: skip
    """Record plain outcomes and claim up to `want` steps. `meanwhile` may send more in between, and wait for nothing.

    `only_child` is that of the step, where there is a single outcome and this is known.

    Raises StoreError; then nothing has happened, as far as is known.
    """
    locked: Later | None = None
    finished: Later | None = None
    with store.transaction() as tx:
        act = watch.begin(tx, store.now())
        claim = PlainClaim(act, worker, cursor, want=want)
        if outcomes:
            locked, finished = record_plainly(act, outcomes, only_child=only_child)
        meanwhile(act)
        if want > 0:
            claim.send()
    outcomes, left, started, ended = heard_of(finished, outcomes)
    runs_ended(store, ended)
    return heard(
        act, claim, want, Recorded(
            started=started, begun=begun_runs(locked.rows()) if locked is not None else frozenset(),
            results={(outcome.run_id, outcome.step): outcome.result or "null" for outcome in outcomes},
        ), ended=ended, left=left,
    )  # fmt: skip


def heard(
    act: Act, claim: PlainClaim, want: int, recorded: Recorded, *, ended: Sequence[str], left: Sequence[Outcome] = ()
) -> Exchanged:  # fmt: skip
    """What came of a claim that was committed before its rows were read, and of what was recorded before it."""
    rows, started = claim.rows(may_ask=False), recorded.started
    looks_further = len(rows) < want and (not rows or started > len(rows))
    return Exchanged(
        act, rows, recorded.results, left, started, ended, recorded.begun,
        claim.is_full, claim.look_again, looks_further, claim.was_long,
    )  # fmt: skip


def record_plainly(
    act: Act, outcomes: Sequence[Outcome], *, only_child: int | None = None, from_status: str = _RUNNING,
    beginning: Sequence[str] = (), hold: Sequence[Outcome] = (),
) -> tuple[Later, Later]:  # fmt: skip
    """Lock the runs of these outcomes, begin those that are `beginning`, and record the outcomes that are plain.

    The steps of `hold` are locked, too: sent ones, which others change without the lock of their runs, because another
    delivery begins or a message is looked for sooner. `finish_plain` would release the children of a step that changed
    after it was read, without ending it.
    """
    runs, tx = sorted({outcome.run_id for outcome in outcomes}), act.tx
    locked = tx.later("lock_run", id=runs[0]) if len(runs) == 1 else tx.later("lock_runs", ids=runs)
    if beginning:
        begin_runs(act, beginning)
    for outcome in hold:
        tx.later("lock_step", run_id=outcome.run_id, step=outcome.step)
    use_results(tx, outcomes, act.now)
    batch = [
        Finish(o.run_id, o.step, o.attempt, from_status, _SUCCEEDED, o.result, None, o.seconds) for o in outcomes
    ]  # fmt: skip
    return locked, tx.finish_plain(batch, act.now, only_child=only_child)


def heard_of(
    finished: Later | None, outcomes: Sequence[Outcome]
) -> tuple[Sequence[Outcome], Sequence[Outcome], int, Sequence[str]]:
    """What was recorded, what was left, how many steps became claimable, and which runs ended."""
    count, started, ended, done = next(iter(finished.rows()), _NOTHING) if finished is not None else _NOTHING
    if count == len(outcomes):
        return outcomes, (), started, ended
    recorded = set(done)
    kept = [outcome for outcome in outcomes if f"{outcome.run_id} {outcome.step}" in recorded]
    left = [outcome for outcome in outcomes if f"{outcome.run_id} {outcome.step}" not in recorded]
    return kept, left, started, ended
