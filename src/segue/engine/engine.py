"""The engine: every act on the database that changes a run, one transaction each.

    start     a plan becomes a run                      turn      a worker records, releases, claims
    act       a verb changes a run                      rescue    steps of lost workers become claimable again
    release   a worker gives back what it never began   prune     old runs are deleted

An act that raises StoreUnavailableError may or may not have happened; all of them may be repeated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from segue.engine import at_hand, chores
from segue.engine.act import Act
from segue.engine.acting import present_actor
from segue.engine.acts import Acts
from segue.engine.alarms import give_up_ringing, ring_alarms, ringing_runs
from segue.engine.dispatch import (
    Dispatch,
    Exchanged,
    Sender,
    Started,
    exchange,
    exchange_plainly,
    may_be_plain,
    start_and_take,
    together,
)
from segue.engine.expand import read_large_plans
from segue.engine.identity import WorkerIdentity
from segue.engine.ids import Ids, chance, process_ids
from segue.engine.limiting import admission
from segue.engine.limiting.admit_apart import admit_apart
from segue.engine.limiting.places import LimitKey
from segue.engine.lives import WorkerLives
from segue.engine.measuring import add_traces, count_ended, measured_turn
from segue.engine.parts import Part, do_part
from segue.engine.record import Recorded
from segue.engine.reopening.ahead import BufferedWrites, FreshReads, LargeRun, write_ahead
from segue.engine.reopening.fork import work_out_fork, write_fork
from segue.engine.reporting import report
from segue.engine.rows import RowContext
from segue.engine.scope import OF_ALL, SteppedBack, one_by_one, step_back
from segue.engine.start import NewRun, rows_of, start_runs
from segue.engine.stored import storable
from segue.engine.turn import Turn
from segue.engine.turn_memory import TurnMemory
from segue.engine.turn_request import TurnRequest, TurnResult, recorded_by
from segue.engine.unfinished import ForkLeft, HalfFork, UnfinishedRun, unfinished_runs
from segue.engine.verbs import Done
from segue.errors import (
    PASSING_ERRORS,
    StoreBusyError,
    StoreConflictError,
    StoreError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from segue.model import RUN, ErrorInfo, Outcome, RunStatus
from segue.observing.metrics.meter import metering
from segue.observing.once import Once
from segue.observing.tracing.switch import tracing
from segue.payloads.keeping import Payloads
from segue.plan.graph import Plan
from segue.plan.namespaces import DEFAULT, plan_in
from segue.store import named
from segue.store.protocol import Store, Transaction

START_AT_ONCE = 1000
UNFINISHED_AT_ONCE = 100
PARTS = "parts"  # the name of the chore that continues unfinished runs
CARRY_SECONDS = 1.0  # how long an act, or a chore, continues with unfinished work; the rest is left to the next one
TURN_SECONDS = 1.0  # ... and a worker after a turn, because it must attend to its attempts
_TRIES = 4
_LOOKS_AHEAD = 4  # tries to read a large run without its lock; if it changed each time, it is read under its lock
_ADMISSION_TRIES, _ADMISSION_SECONDS = 5, 0.003
_ADMISSION_MOMENT_SECONDS = 0.25
FIRST_LIMIT_KEY: LimitKey = ("", "")
P = ParamSpec("P")
T = TypeVar("T")


class Engine(WorkerLives):
    """Acts on one store. `monotonic` measures how long ago a worker searched everywhere for steps.

    The runs that it starts are in its `namespace`. Acts on a run by its id do not check the namespace; the client does.
    """

    def __init__(
        self, store: Store, *, ids: Ids = process_ids, monotonic: Callable[[], float] = time.monotonic,
        namespace: str = DEFAULT, payloads: Payloads | None = None,
    ) -> None:  # fmt: skip
        super().__init__(store, ids=ids, namespace=namespace)
        self.payloads = payloads  # where long values lie; transactions have only references
        self.payload_executors: set[str] = set()  # executors that read through references
        self.stepped_back = SteppedBack()
        self.once = Once()  # what chores have logged
        self.senders: dict[str, Sender] = {}  # of executors that this process can send steps to
        self._memory = TurnMemory(monotonic=monotonic, tally=self.tally)
        self._admission_at = FIRST_LIMIT_KEY  # where the next search for waiting runs continues
        self._unfinished: set[str] = set()  # runs with unfinished work, as far as this process knows

    def start(
        self, plans: Sequence[tuple[Plan, str | None]], *, connection: Any | None = None, begun: set[str] | None = None,
        reuse_key: bool = False,
    ) -> list[str]:  # fmt: skip
        """Start a run for each (plan, key), durable when this returns; with `connection`, when its owner commits.

        Returns their ids. Many are committed in batches; with keys, a repetition after an error starts nothing twice.
        `begun` collects the ids of runs that this call created.
        With `reuse_key` keys are taken from runs that have ended.
        """
        now = self.store.now()
        self.in_one_namespace("start a run")
        runs = [
            NewRun(self.ids.new(now), plan_in(plan, self.namespace), key, reuse_key, present_actor())
            for plan, key in plans
        ]
        if begun is not None:
            begun.update(run.id for run in runs)
        if connection is not None:
            made = rows_of(RowContext.at(now, self.store.conversions), runs)
            with self.watch.over(self.store.adopt(connection), now, is_ours=False) as act:
                return start_runs(act, runs, is_ours=False, made=made)
        ids: list[str] = []
        missed: set[LimitKey] = set()
        for first in range(0, len(runs), START_AT_ONCE):
            batch = runs[first : first + START_AT_ONCE]
            made = rows_of(RowContext.at(now, self.store.conversions), batch)
            executors = {node.executor for run in batch for node in run.plan.nodes} if self.senders else set()
            senders = [self.senders[name] for name in executors if name in self.senders]
            started: Started | None = None
            try:
                if len(senders) == 1:
                    dispatch = senders[0].dispatch()
                    memory = self._memory.sending_of(dispatch.prefix)
                    started = self.act(start_and_take, batch, dispatch, memory=memory, missed=missed, made=made)
                    ids += started.run_ids
                else:
                    ids += self.act(start_runs, batch, missed=missed, made=made)
            except admission.NotAdmittedError:
                ids += self.act(start_runs, batch, missed=missed, made=made, is_ours=False)
            self._send(senders, started)
        self._admit_missed(missed)
        return ids

    def turn(self, worker: WorkerIdentity, request: TurnRequest) -> TurnResult:
        """One turn of a worker. It is not repeated here: the worker itself repeats what is still unreported."""

        def take() -> TurnResult:
            return self._with_payloads(lambda: Turn(self.store, worker, request, self._memory, self.watch).take())

        try:
            result = take() if metering.meter is None else measured_turn(take, request)
        except Exception as error:
            if not isinstance(error, PASSING_ERRORS):
                self.tally.forget()
            raise
        if request.outcomes or request.recorded:
            self.tally.ended(recorded_by(request, result), self.store.now())
        if result.needed is not None:
            with suppress(StoreBusyError):  # then the next turn says so
                at_hand.fetch(self.payloads, result.needed)
        if tracing.spans is not None:
            add_traces(self.store, result.jobs)
        if result.unfinished or self._unfinished:
            self._go_on(result)
        if result.missed:
            self._admit_missed(result.missed)
        return result

    def report(self, outcomes: Sequence[Outcome], *, by: str) -> Recorded:
        """Record the outcomes of attempts that this process did not get through a claim.

        `by` is its name. `refused` counts the outcomes that came too late: the attempt was no longer the current one of
        its step, or its end is recorded already. This very call may have recorded it, because it is repeated after a
        lost connection.
        """
        plans = read_large_plans(self.store, outcomes, self.store.now())
        recorded = self.act(report, outcomes, by=by, plans=plans).recorded
        count_ended(outcomes)
        return recorded

    def exchange(
        self, outcomes: Sequence[Outcome] = (), *, dispatch: Dispatch, by: str, freed: int = 0,
        also: Callable[[Act], object] | None = None,
    ) -> Exchanged:  # fmt: skip
        """What the process of an executor says and takes, in one transaction: see engine/dispatch.py.

        What it takes is to be sent now. `freed`: how many of the attempts held places (`SentStep.holds_places`).
        `also` is done in the same transaction, which may be repeated. Example::

            taken = engine.exchange([outcome], dispatch=Dispatch(Executor("celery"), "@celery:"), by="w1@host")
        """
        taken = self._exchange(outcomes, dispatch, by=by, freed=freed, also=also)
        if outcomes:
            self.count_outside(outcomes, dispatch.prefix)
        return taken

    def _exchange(
        self, outcomes: Sequence[Outcome], dispatch: Dispatch, *, by: str, freed: int,
        also: Callable[[Act], object] | None,
    ) -> Exchanged:  # fmt: skip
        runs = sorted({outcome.run_id for outcome in outcomes if outcome.run_id not in self._memory.begun})
        before: Exchanged | None = None
        given = outcomes
        memory = self._memory.sending_of(dispatch.prefix)
        if not freed and also is None and may_be_plain(self.store, self.watch, outcomes, dispatch, memory):
            with suppress(StoreUnavailableError, StoreConflictError, StoreReadOnlyError):  # then `act` tries again
                before, outcomes = exchange_plainly(
                    self.store, self.watch, outcomes, dispatch, memory, first_of=runs
                )  # fmt: skip
                self._memory.begun.add_all(runs)
                if not outcomes:
                    count_ended(given)
                    return before
        plans = read_large_plans(self.store, outcomes, self.store.now())
        runs = [run_id for run_id in runs if run_id not in self._memory.begun]
        taken = self.act(
            exchange, outcomes, dispatch, by=by, memory=memory, freed=freed, first_of=runs, plans=plans, also=also
        )  # fmt: skip
        self._memory.begun.add_all(runs)
        count_ended(given)
        return taken if before is None else together(before, taken)

    def is_final(self, run_id: str) -> bool:
        """Has the run ended (or is it gone)?"""
        with self.store.reading() as tx:
            rows = tx.all("run_status", run_id=run_id)
        return not rows or RunStatus(rows[0][0]).is_final

    def rescue(self) -> int:
        """Take steps from lost workers, and admit waiting runs that were missed. Returns the number of steps."""
        rescued = self.rescue_steps()
        self.admit_waiting()
        self.carry_on()
        return rescued

    def rescue_steps(self) -> int:
        """Take a batch of steps from lost workers. Returns how many."""
        act = partial(chores.rescue, just_lost=set())
        return one_by_one(self, "rescue", act, find=chores.lost_runs, give_up=chores.give_up_lost)

    def ring_alarms(self) -> int:
        """Handle a batch of the alarms that are due. Returns how many."""
        return one_by_one(self, "alarms", ring_alarms, find=ringing_runs, give_up=give_up_ringing)

    def carry_on(self, *, seconds: float = CARRY_SECONDS) -> int:
        """Continue unfinished work of runs for a while, whichever process left it. Returns how many runs had some."""
        with self.reading() as tx:
            found = unfinished_runs(tx, UNFINISHED_AT_ONCE)
        self._unfinished.update(found)
        self._do_parts(found, seconds)
        return len(found)

    def finish(self, run_id: str) -> None:
        """Do all unfinished work of a run, as of a fork of a large one. Other processes do it too, a little later."""
        with self.reading() as tx:
            is_left = bool(tx.all("is_unfinished", run_id=run_id))
        if is_left:
            self._do_parts([run_id], math.inf)
            self._act(partial(admission.admit_after, run_ids=[run_id]), [])

    def admit_waiting(self) -> int:
        """Admit runs that wait although there is a place: those that starts and ends have missed. Returns how many.

        It takes a moment at most; if runs wait for more keys than fit, the next call continues with the rest.
        """
        total, end = 0, time.monotonic() + _ADMISSION_MOMENT_SECONDS
        while True:
            try:
                runs, further = self.act(admission.admit_waiting, after=self._admission_at)
            except OF_ALL:
                raise
            except Exception as error:  # noqa: BLE001 - one limit, or one run, must not delay the others
                runs, further = admit_apart(self, self._admission_at, error)
            total += runs
            self._admission_at = further or FIRST_LIMIT_KEY
            if further is None or time.monotonic() >= end:
                return total

    def prune(self, *, older_than: timedelta, at_once: bool = True, prefix: str | None = None) -> int:
        """Delete one batch of runs that ended longer ago. Returns how many. With `prefix`, only those of a namespace.

        Unless `at_once`, the steps of large runs are left to other processes.
        """
        deleted = self.act(chores.prune, older_than=older_than, prefix=prefix)
        while at_once and self.act(chores.delete_steps):
            pass
        return deleted

    def broken_invariants(self) -> list[tuple[str, str]]:
        """(run id, what is wrong) for every violated invariant; empty if all is well."""
        checks = sorted(name for name in named.load(self.store.dialect) if name.startswith("check_"))
        with self.store.reading() as tx:
            return chores.check_invariants(tx, checks)

    def reading(self) -> AbstractContextManager[Transaction]:
        """A transaction for the queries of `segue.engine.views`."""
        return self.store.reading()

    def _send(self, senders: Iterable[Sender], started: Started | None) -> None:
        """Let executors send what was just committed; what cannot be sent now is sent by other processes, later."""
        for sender in senders:
            with suppress(Exception):
                sender.deliver(Exchanged([], [], is_full=True) if started is None else started.taken(self.store))

    def _admit_missed(self, missed: set[LimitKey]) -> None:
        """Admit runs of limits that another transaction had locked. The chore finds those that are missed again."""
        for _ in range(_ADMISSION_TRIES):
            if not missed:
                return
            time.sleep(_ADMISSION_SECONDS * (1 + chance()))
            with suppress(Exception):  # the caller has committed, and must get its result
                missed = self.act(admission.admit, limit_keys=missed).missed

    def act(self, verb: Callable[Concatenate[Act, P], T], /, *args: P.args, **fields: P.kwargs) -> T:
        """Run a verb in a transaction, again if the connection broke or a conflict occurred.

        Unfinished work that it leaves is also continued for a while. If it needs a run that has unfinished work, all of
        that work is done first. Example::

            engine.act(pause_run, run_id, actor="ann")
        """

        tries_left, large = _LOOKS_AHEAD, ""

        def work(act: Act) -> T:
            act.loads_large_runs = not tries_left
            return verb(act, *args, **fields)

        while True:
            unfinished: list[str] = []
            try:
                if not large:
                    done = self._act(work, unfinished)
                else:
                    tries_left -= 1
                    of_run, large = large, ""
                    done = self._act_ahead(work, of_run, unfinished)
            except UnfinishedRun as found:
                self._do_parts([found.run_id], math.inf)
                continue
            except LargeRun as found:
                tries_left = tries_left if found.can_be_ahead else 0
                large = found.run_id if tries_left else ""
                continue
            if unfinished:
                with suppress(StoreError):  # the act is committed; any process can do the rest
                    self._do_parts(unfinished, CARRY_SECONDS)
                    if len(set(unfinished)) == 1:
                        return self._as_it_is(done, unfinished[0])
            return done

    def _act_ahead(self, work: Callable[[Act], T], run_id: str, unfinished: list[str]) -> T:
        """Run this on a large run, prepared without its lock. Raises LargeRun if the run was changed meanwhile."""
        try:
            ahead, done = self._with_payloads(partial(self._work_out, work, run_id))
        except StoreConflictError as error:
            raise LargeRun(run_id) from error
        if ahead.is_empty:
            return done
        if ahead.live is not None and ahead.kept:
            raise LargeRun(run_id, can_be_ahead=False)
        if not self._act(partial(write_ahead, run_id=run_id, ahead=ahead), unfinished):
            raise LargeRun(run_id)
        if ahead.kept:
            self._do_parts([run_id], math.inf)
            unfinished.clear()
        return self._as_it_is(done, run_id)

    def _with_payloads(self, work: Callable[[], T]) -> T:
        """Do this, again each time that it needs payloads, which are fetched in between."""
        while True:
            try:
                done = work()
            except at_hand.PayloadsNeeded as needed:
                at_hand.fetch(self.payloads, needed)
                continue
            at_hand.forget()
            return done

    def _act(self, work: Callable[[Act], T], unfinished: list[str]) -> T:
        """Run this in one transaction, with the payloads that it needs."""
        return self._with_payloads(partial(self._act_once, work, unfinished))

    def _act_once(self, work: Callable[[Act], T], unfinished: list[str]) -> T:
        """Run this in one transaction, and collect the runs that it leaves unfinished.

        Every try uses the time of the first: while the database was away no worker could renew a lease, so a rescue
        must not find that all of them expired.
        """
        now: datetime | None = None
        tries_left, admits = _TRIES - 1, True
        while True:
            try:
                now = now or self.store.now()
                with self.store.transaction() as tx:  # as `Watch.over` does, which takes twice as long
                    act = self.watch.begin(tx, now)
                    done = work(act)
                    if admits and act.ended_runs:
                        self._admit_after(act)
                    self.watch.notify(act)
                self.watch.publish(act)
                unfinished += act.unfinished
                return done
            except admission.NotAdmittedError:
                if not admits:
                    raise
                admits = False  # the rows of a waiting run are at fault, not the act: a chore deals with that run
            except (StoreUnavailableError, StoreConflictError, StoreReadOnlyError):  # the next session may differ
                if not tries_left:
                    raise
                time.sleep(0.05 * (_TRIES - tries_left))
                tries_left -= 1

    def _admit_after(self, act: Act) -> None:
        try:
            admission.admit_after(act, act.ended_runs)
        except Exception as error:
            raise admission.NotAdmittedError(f"runs ended, and no other could be admitted: {error}") from error

    def _work_out(self, work: Callable[[Act], T], run_id: str) -> tuple[BufferedWrites, T]:
        """Run this on a large run, without its lock, and keep the writes."""
        now = self.store.now()
        ahead = BufferedWrites(self.store, FreshReads(self.store), run_id)
        return ahead, work(Act(ahead, now, ids=self.ids))

    def _as_it_is(self, done: T, run_id: str) -> T:
        """The result of a verb, with the status that the run has now."""
        if not isinstance(done, Done):
            return done
        with self.reading() as tx:
            rows = tx.all("run_status", run_id=run_id)
        return done._replace(status=rows[0][0]) if rows else done

    def _do_parts(self, run_ids: Iterable[str], seconds: float) -> list[str]:
        """Continue the unfinished work of these runs, at most this long. Returns the runs that ended."""
        until = time.monotonic() + seconds
        ended: list[str] = []
        aside = set(self.stepped_back.of(PARTS))
        for run_id in dict.fromkeys(run_ids):
            self._unfinished.add(run_id)
            is_left = run_id not in aside
            while is_left:
                part = self._do_part(run_id)
                if part is None:
                    break
                ended += part.ended
                is_left = part.is_left
                if is_left and time.monotonic() >= until:
                    return ended
            else:
                if run_id not in aside:
                    self._unfinished.discard(run_id)
        return ended

    def _do_part(self, run_id: str) -> Part | None:
        """Do the next part; None if the run is set aside, because it is held or its rows are damaged."""

        try:
            try:
                part = self._act(partial(do_part, run_id=run_id), [])
            except ForkLeft as left:
                part = self._work_out_fork(left.fork)
        except OF_ALL:
            raise
        except Exception as error:  # noqa: BLE001 - the other runs continue
            step_back(self, PARTS, run_id, error, give_up_unfinished)
            return None
        self.stepped_back.forget(PARTS, run_id)
        return part

    def _work_out_fork(self, fork: HalfFork) -> Part:
        """Compute, without a lock, which steps of the copy of a large run start from the beginning."""
        ahead = BufferedWrites(self.store, FreshReads(self.store), fork.run_id)
        work_out_fork(Act(ahead, self.store.now(), ids=self.ids), fork)
        self._act(partial(write_fork, ahead=ahead, fork=fork), [])
        return Part(True, [])

    def _go_on(self, result: TurnResult) -> None:
        """Between the turns of a worker: continue unfinished work that turns, and acts of this process, left."""
        result.again = True
        with suppress(Exception):  # the turn is committed
            result.ended = result.ended + self._do_parts([*result.unfinished, *sorted(self._unfinished)], TURN_SECONDS)


def give_up_unfinished(engine: Acts, run_id: str, error: Exception) -> None:
    """The last resort for a run whose unfinished work cannot be done."""
    text = storable(f"its remaining changes cannot be made, because its rows are damaged: {error}")
    engine.break_run(run_id, RUN, ErrorInfo(type(error).__name__, text))
