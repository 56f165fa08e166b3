"""Which steps of a run begin anew, when a person says so. Pure: it changes a `RunGraph` in memory and nothing else.

A step that is *reset* forgets what came of it and waits for its parents again; the number of its attempt stays, so
what an older attempt still says is refused. The plan that its task may have returned is thrown away. A scope is
*reopened* instead when only something inside begins anew: it waits for its plan once more. Either way:

    below        steps that had been skipped over it, or that nobody has begun, are reset with it. What else happened
                 below stays, unless the verb says otherwise: it started, and no longer waits
    above        the scopes that it is in are reopened, up to the run
    hooks        where a step of a scope begins anew, all hooks of that scope do, to run after the new outcome; where
                 only hooks do, the outcome of the steps stands
    ended early  a run that was cancelled, or failed fast, goes on as a whole: what that had cancelled is reset as well
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
    """What begins anew. `again`, `hold` and `reopen_above` say what; `complete` adds what follows from it."""

    def __init__(self, graph: RunGraph) -> None:
        self.graph = graph
        self.reset: set[int] = set()
        self.held: set[int] = set()  # reset by hand, to be finished at once; the plan that its task returned is kept
        self.reopened: set[int] = set()  # scopes that had ended, or called their hooks, and wait for their plan again
        self.outcome_unknown: set[int] = set()  # scopes, or RUN, whose outcome is to be found anew
        self.discarded: set[int] = set()
        self.recalled: set[int] = set()  # steps that begin anew, and had passed their place on
        self.untouched: set[int] = set()  # steps that are reset although nothing has happened to them since the start
        self.busy: list[StepRow] = []  # an attempt at these is under way
        self._was: dict[int, str] = {}  # the statuses that were taken back

    @property
    def changed(self) -> set[int]:
        """The steps that are not final any more, or not where they were."""
        return self.reset | self.held | self.reopened

    def reset_step(self, step: StepRow, cascade: Statuses) -> None:
        """Reset a step, and those below it with one of these statuses, on and on."""
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
            self._empty(found)
            self._take_back(found)
            found.lane = found.planned_lane or found.lane  # its keys may be others next time
            waiting += self._cascading(found, cascade)

    def set_aside(self, step: StepRow, cascade: Statuses) -> None:
        """Take back how a step ended, and reset those below it: somebody says now how it ends."""
        self.held.add(step.step)
        self._take_back(step)
        for child in self._cascading(step, cascade):
            self.reset_step(child, cascade)

    def reopen(self, scope: StepRow, cascade: Statuses) -> None:
        """Let a scope wait for its plan once more, and reset those below it."""
        if scope.step in self.reset or scope.step in self.reopened:
            return
        if scope.is_final:
            self.reopened.add(scope.step)
            self._take_back(scope)
        elif cascade != ALL_STATUSES:
            return  # it never stopped waiting, so what is below it does, too, or began for another reason
        for child in self._cascading(scope, cascade):
            self.reset_step(child, cascade)

    def reopen_above(self, step: StepRow, cascade: Statuses) -> None:
        """Reopen all scopes that a step is in."""
        for scope in self.graph.enclosing(step):
            self.reopen(scope, cascade)

    def complete(self, statuses: Statuses, *, keeps_intent: bool = False, is_new: bool = False) -> None:
        """Reset whatever has one of these statuses, in every plan that is not done; then see to the hooks of each.

        Scopes are visited from the outside in: whether the hooks of one run anew is seen from its own steps.
        `is_new`: the run is one that begins now.
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
        """Reset a step that has one of these statuses; yields it when there is something inside it to look at."""
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
        if not (run.is_final if scope == RUN else scope in self._was):
            return outcome is not None and is_open  # its hooks had been called
        if scope == RUN and run.intent is not None and not keeps_intent:
            return True
        # Without hooks to call no outcome is written down, and none is known of a plan that was cancelled before.
        is_unknown = outcome is None and any(self.status_before(step) == StepStatus.CANCELLED for step in members)
        return is_open or is_unknown

    def status_before(self, step: StepRow) -> str:
        """The status that the step had in the database."""
        return self._was.get(step.step, step.status)

    def _take_back(self, step: StepRow) -> None:
        self._was.setdefault(step.step, step.status)
        step.status = StepStatus.BLOCKED

    def _cascading(self, step: StepRow, cascade: Statuses) -> Iterator[StepRow]:
        for number in step.edges():
            child = self.graph.steps[number]
            if number not in self.reset and (child.status in cascade or _is_untouched(child)):
                yield child

    def _empty(self, step: StepRow) -> None:
        """Throw away the plan that the step's task had returned, and what that made of the step."""
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
    """Its parents allow it to start and nobody has begun it: it may as well wait again."""
    return step.status == StepStatus.READY and step.attempt == 0


def _is_as_planned(step: StepRow) -> bool:
    """It waits, as it did when it was inserted: nothing came of it that a reset would forget."""
    return (
        step.status == StepStatus.BLOCKED
        and step.attempt == 0
        and step.started_at is None
        and not step.is_scope
        and step.lane == (step.planned_lane or step.lane)
    )
