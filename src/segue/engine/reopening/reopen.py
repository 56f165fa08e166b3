"""Decides which steps run again when a person reopens a run. Pure: it changes only a `RunGraph` in memory.

A step that is *reset* loses its outcome and waits for its parents again. It keeps its attempt number, so a late report
of an older attempt is refused. If its task had returned a plan, the steps of that plan are discarded. A scope is
*reopened* instead if only steps inside it run again: it waits for its plan once more. In both cases:

    below        steps that were skipped because of it, or that have not begun, are reset as well. Other steps below
                 keep their outcome, unless the verb resets them: they have started and no longer wait
    above        its enclosing scopes are reopened, up to the run
    hooks        if a step of a scope runs again, all hooks of the scope are reset, and run after the new outcome; if
                 only hooks run again, the outcome of the steps stays
    ended early  a run that was cancelled, or failed fast, becomes live as a whole: the steps that were cancelled by
                 that are reset as well
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from segue.engine.reopening.run_graph import RunGraph, StepRow, is_begun
from segue.model import RUN, StepStatus

SKIPPED = frozenset({StepStatus.SKIPPED})
CANCELLED = frozenset({StepStatus.CANCELLED})
UNSUCCESSFUL = frozenset({StepStatus.FAILED, StepStatus.CANCELLED})
NOT_SUCCEEDED = SKIPPED | UNSUCCESSFUL
NOT_COMPLETED = frozenset(set(StepStatus) - {StepStatus.SUCCEEDED, StepStatus.SKIPPED})
ALL_STATUSES = frozenset(StepStatus)
NOTHING: frozenset[StepStatus] = frozenset()

Statuses = frozenset[StepStatus]


class Reopening:
    """Collects the steps that run again. `reset_step`, `set_aside` and `reopen_above` choose them; `complete` adds what
    follows from that.
    """

    def __init__(self, graph: RunGraph) -> None:
        self.graph = graph
        self.reset: set[int] = set()
        self.held: set[int] = set()  # reset, and ended by hand at once; the plan that the task returned is kept
        self.reopened: set[int] = set()  # scopes that had ended, or called their hooks, and wait for their plan again
        self.outcome_unknown: set[int] = set()  # scopes, or RUN, whose outcome must be determined again
        self.discarded: set[int] = set()
        self.recalled: set[int] = set()  # reset steps that had passed their place on to a call
        self.untouched: set[int] = set()  # reset steps that have not changed since the run started
        self.is_fresh = (
            False  # reset steps run from scratch, whatever their tasks have recorded (engine/checkpoints.py)
        )
        self.busy: list[StepRow] = []  # steps with a running attempt that would have to be reset
        self._status_before: dict[int, str] = {}  # by step, if it was reset or reopened

    @property
    def changed(self) -> set[int]:
        """The steps that were reset or reopened."""
        return self.reset | self.held | self.reopened

    def reset_step(self, step: StepRow, cascade: Statuses) -> None:
        """Reset a step, and recursively the steps below it that have one of these statuses."""
        waiting = [step]
        while waiting:
            found = waiting.pop()
            if found.step in self.reset:
                continue
            self.reset.add(found.step)
            self.reopened.discard(found.step)
            if is_begun(found.status):
                self.busy.append(found)
            if _is_as_planned(found):
                self.untouched.add(found.step)
            self._discard_plan(found)
            self._block(found)
            found.lane = found.planned_lane or found.lane  # its keys may differ next time
            waiting += self._cascading(found, cascade)

    def set_aside(self, step: StepRow, cascade: Statuses) -> None:
        """Reopen a step that a person ends at once, and reset the steps below it."""
        self.held.add(step.step)
        self._block(step)
        for child in self._cascading(step, cascade):
            self.reset_step(child, cascade)

    def reopen(self, scope: StepRow, cascade: Statuses) -> None:
        """Let a scope wait for its plan once more, and reset the steps below it."""
        if scope.step in self.reset or scope.step in self.reopened:
            return
        if scope.is_final:
            self.reopened.add(scope.step)
            self._block(scope)
        elif cascade != ALL_STATUSES:
            return  # it still waits, so the steps below it wait too, or began for another reason
        for child in self._cascading(scope, cascade):
            self.reset_step(child, cascade)

    def reopen_above(self, step: StepRow, cascade: Statuses) -> None:
        """Reopen all enclosing scopes of a step."""
        for scope in self.graph.enclosing(step):
            self.reopen(scope, cascade)

    def complete(self, statuses: Statuses, *, keeps_intent: bool = False, is_new: bool = False) -> None:
        """Reset the steps with one of these statuses, in every plan that has not ended; then handle its hooks.

        Scopes are visited from the outside in, because the steps of a scope decide whether its hooks run again.
        `is_new`: the run is a fork that begins now.
        """
        scopes = [RUN]
        for scope in scopes:  # grows
            if scope in self.reset or scope in self.discarded:
                continue
            members = self.graph.members(scope)
            for step in members:
                if step.hook is None:
                    scopes += self._visit(step, statuses)
            hooks = [step for step in members if step.hook is not None]
            if (is_new and scope == RUN) or self._is_outcome_unknown(scope, members, keeps_intent=keeps_intent):
                self.outcome_unknown.add(scope)
                if scope != RUN:
                    self.reopened.add(scope)
                for hook in hooks:
                    self.reset_step(hook, NOTHING)
            else:
                for hook in hooks:
                    scopes += self._visit(hook, statuses)

    def _visit(self, step: StepRow, statuses: Statuses) -> Iterator[int]:
        """Reset a step if it has one of these statuses; yields it if it is a scope whose steps must be visited."""
        if step.step in self.reset or step.step in self.held:
            return
        if step.status in statuses:
            if not step.is_scope:
                self.reset_step(step, SKIPPED)
                return
            self.reopen(step, SKIPPED)
        if step.is_scope and step.status == StepStatus.BLOCKED:
            yield step.step

    def _is_outcome_unknown(self, scope: int, members: Sequence[StepRow], *, keeps_intent: bool) -> bool:
        run, outcome = self.graph.run, self.graph.outcome(scope)
        is_open = any(step.hook is None and not step.is_final for step in members)
        if not (run.is_final if scope == RUN else scope in self._status_before):
            return outcome is not None and is_open  # its hooks had been called
        if scope == RUN and run.intent is not None and not keeps_intent:
            return True
        # No outcome is stored for a scope without hooks, nor for a plan cancelled before its outcome was known.
        is_unknown = outcome is None and any(self.status_before(step) == StepStatus.CANCELLED for step in members)
        return is_open or is_unknown

    def status_before(self, step: StepRow) -> str:
        """The status of the step in the database."""
        return self._status_before.get(step.step, step.status)

    def _block(self, step: StepRow) -> None:
        self._status_before.setdefault(step.step, step.status)
        step.status = StepStatus.BLOCKED

    def _cascading(self, step: StepRow, cascade: Statuses) -> Iterator[StepRow]:
        for number in step.edges():
            child = self.graph.steps[number]
            if number not in self.reset and (child.status in cascade or _is_untouched(child)):
                yield child

    def _discard_plan(self, step: StepRow) -> None:
        """Discard the plan that the step's task returned, and make the step an ordinary one again."""
        if not step.is_scope:
            return
        inside = list(self.graph.inside(step.step))
        for called in self.graph.called_by(step):
            inside += [called, *self.graph.inside(called.step)]
        if step.passed_on_to is not None:
            self.recalled.add(step.step)
            step.passed_on_to = None
        self.busy += [inner for inner in inside if is_begun(inner.status) and inner.step not in self.discarded]
        self.discarded.update(inner.step for inner in inside)
        step.is_join = False
        step.rule = step.planned_rule or ("any_failed" if step.rule == "handler" else "all_succeeded")
        step.planned_rule = None


def _is_untouched(step: StepRow) -> bool:
    """Whether a step is ready but was never claimed, so that it can wait again without losing anything."""
    return step.status == StepStatus.READY and step.attempt == 0


def _is_as_planned(step: StepRow) -> bool:
    """Whether a step is as it was inserted, so that a reset changes nothing."""
    return (
        step.status == StepStatus.BLOCKED
        and step.attempt == 0
        and step.started_at is None
        and not step.is_scope
        and step.lane == (step.planned_lane or step.lane)
    )
