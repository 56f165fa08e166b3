"""What retry, skip, mark and fork ought to do, said in the plainest way on top of the model of runs.

The engine works out which rows change, and their counters; this takes back how steps ended and looks at everything
again. What cannot be done raises `RefusedError`: try it on a copy.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from segue.model import RUN, Hook
from tests.property.model_of_runs import FINAL, Group, ModelRun, Step

EVERY = frozenset({"blocked", "ready", "running", *FINAL})
UNSUCCESSFUL = frozenset({"failed", "cancelled"})
GONE = "gone"  # of a plan that was thrown away


class RefusedError(Exception):
    """The run, or the step, is in no state for it."""


class ReopenableRun(ModelRun):
    """A run whose steps may begin anew."""

    def __init__(self, plan: Any) -> None:
        self.marked: dict[int, Any] = {}  # results that people gave
        self._fresh: set[int] = set()  # of one verb: the steps that begin anew
        self._closed: list[Group] = []  # and the plans, done, that are worked again
        self._has_begun = False
        super().__init__(plan)

    def claim(self, number: int, attempt: int, worker: str) -> None:
        super().claim(number, attempt, worker)
        self._has_begun = True

    def statuses(self) -> dict[int, str]:
        return {step.number: step.status for step in self.steps if step.status != GONE}

    def result(self, number: int) -> Any:
        return self.marked[number] if number in self.marked else super().result(number)

    # Verbs ------------------------------------------------------------------------------------------------------------

    def retry(self) -> None:
        if self.status == "succeeded":
            return
        self._refuse_ending(None)
        self._begin()
        self._redo(UNSUCCESSFUL)
        self._settle()

    def retry_from(self, number: int) -> None:
        step = self.steps[number]
        self._refuse_ending(step)
        was_called = self._waits_for_outcome(step) or _calls(self._plain_outcome(step), step)
        if step.node.hook is not None and step.status == "skipped" and not was_called:
            raise RefusedError
        self._begin()
        self._again(step, EVERY)
        self._reopen_above(step, EVERY)
        self._go_on(step)
        self._settle()

    def skip(self, number: int) -> None:
        step = self.steps[number]
        if step.status == "skipped":
            return
        self._refuse_busy(step)
        if self._waits_for_outcome(step):
            step.status = "skipped"
            return
        self._say(step, "skipped")

    def mark(self, number: int, result: Any) -> None:
        step = self.steps[number]
        self._refuse_busy(step)
        if self._waits_for_outcome(step):
            raise RefusedError
        self._say(step, "succeeded")
        self.marked[number] = result
        self._settle()

    def fork(self, number: int) -> ReopenableRun:
        other = deepcopy(self)
        step = other.steps[number]
        other._begin()
        other.intent, other.status, other.whole.outcome, other.whole.is_done = None, "pending", None, False
        other.is_paused = False
        other._has_begun = other.is_paused = False
        other._again(step, EVERY, refuse=False)
        other._reopen_above(step, EVERY, refuse=False)
        other._redo(EVERY - {"succeeded", "skipped"}, refuse=False, is_new=True)
        for each in other.steps:
            each.attempt = 0  # nobody has claimed anything in this run
        other._settle()
        return other

    # How --------------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._fresh, self._closed = set(), []

    def _say(self, step: Step, status: str) -> None:
        """A person says how a step ended."""
        self._begin()
        along = UNSUCCESSFUL | {"skipped"} if step.is_final else frozenset()
        self._forget(step)
        for child in self._children(step):
            if child.status in along or _is_untouched(child):
                self._again(child, along)
        self._reopen_above(step, along)
        step.status = "blocked"  # until all hooks are seen to
        held = step.grown
        step.grown = None
        self._go_on(step)
        step.grown = held
        if step.number in self._fresh:
            raise RefusedError
        step.status = status
        self._settle()

    def _go_on(self, step: Step) -> None:
        """What else begins anew: hooks, and in a run that was ended early whatever that had cancelled."""
        outermost = step
        while outermost.scope != RUN:
            outermost = self.steps[outermost.scope]
        is_hook = outermost.node.hook is not None
        was_ended = self.is_final and self.intent is not None and not is_hook
        self._redo(frozenset({"cancelled"}) if was_ended else frozenset(), keeps_intent=is_hook)

    def _redo(
        self, wanted: frozenset[str], *, keeps_intent: bool = False, refuse: bool = True, is_new: bool = False
    ) -> None:
        """Everything with one of these statuses begins anew, in the plans that are not done well; then the hooks."""
        groups = [self.whole]
        for group in groups:
            for step in group.plain:
                groups += self._redo_step(step, wanted, refuse)
            if self._is_anew(group, keeps_intent) or (is_new and group is self.whole):
                group.outcome, group.is_done = None, False
                if group is self.whole:
                    self.intent = None
                for hook in group.hooks:
                    self._again(hook, frozenset(), refuse=refuse)
            else:
                for hook in group.hooks:
                    groups += self._redo_step(hook, wanted, refuse)
                is_final_run = group is self.whole and self.is_final
                if group in self._closed or (is_final_run and any(not hook.is_final for hook in group.hooks)):
                    group.is_done = False
                    group.outcome = (self.intent if group is self.whole else None) or self._outcome(group)
        if self.is_final and not self.whole.is_done:
            self.status = "running" if self._has_begun else "pending"
            self.is_paused = False

    def _redo_step(self, step: Step, wanted: frozenset[str], refuse: bool) -> list[Group]:
        if step.number in self._fresh or step.status == GONE:
            return []
        if step.status in wanted:
            if step.grown is None:
                self._again(step, frozenset({"skipped"}), refuse=refuse)
                return []
            self._reopen(step, frozenset({"skipped"}), refuse=refuse)
        return [step.grown] if step.grown is not None and step.status == "blocked" else []

    def _is_anew(self, group: Group, keeps_intent: bool) -> bool:
        was_done = self.is_final if group is self.whole else group in self._closed
        is_open = any(not step.is_final for step in group.plain)
        if not was_done:
            return group.outcome is not None and is_open
        if group.outcome is None or is_open:
            return True
        return group is self.whole and self.intent is not None and not keeps_intent

    def _again(self, step: Step, along: frozenset[str], *, refuse: bool = True) -> None:
        if step.number in self._fresh:
            return
        if step.status == "running" and refuse:
            raise RefusedError
        self._fresh.add(step.number)
        self._throw_away(step, refuse)
        self._forget(step)
        step.status = "blocked"
        for child in self._children(step):
            if child.status in along or _is_untouched(child):
                self._again(child, along, refuse=refuse)

    def _reopen(self, step: Step, along: frozenset[str], *, refuse: bool = True) -> None:
        assert step.grown is not None
        if step.number in self._fresh or step.grown in self._closed:
            return
        if step.is_final:
            self._closed.append(step.grown)
            step.status, step.result = "blocked", None
            self.marked.pop(step.number, None)
        elif along != EVERY:
            return
        for child in self._children(step):
            if child.status in along or _is_untouched(child):
                self._again(child, along, refuse=refuse)
        step.grown.is_done = False

    def _reopen_above(self, step: Step, along: frozenset[str], *, refuse: bool = True) -> None:
        while step.scope != RUN:
            step = self.steps[step.scope]
            self._reopen(step, along, refuse=refuse)

    def _throw_away(self, step: Step, refuse: bool) -> None:
        if step.called is not None:
            self._recall(step, refuse)
        if step.grown is None:
            return
        for member in step.grown.members:
            if member.status == "running" and refuse:
                raise RefusedError
            self._throw_away(member, refuse)
            member.status = GONE
        step.grown = None

    def _recall(self, step: Step, refuse: bool) -> None:
        """Throw away the step that took its place, and the one that took that one's, and so on."""
        group, called = self._group_of(step), step.called
        assert called is not None
        if called.status == "running" and refuse:
            raise RefusedError
        self._throw_away(called, refuse)
        called.status, step.called = GONE, None
        group.members.remove(called)
        group.result_of = step.number

    def _forget(self, step: Step) -> None:
        step.failures = step.losses = 0
        step.is_asked_to_end = False
        step.is_asked_to_end = False
        step.result = None
        self.marked.pop(step.number, None)

    def _children(self, step: Step) -> list[Step]:
        return [other for other in self.steps if step.number in other.parents and other.status != GONE]

    def _refuse_ending(self, step: Step | None) -> None:
        if self.is_final or self.intent is None:
            return
        is_called_hook = step is not None and step.node.hook is not None and step.scope == RUN
        if not (is_called_hook and self.whole.outcome is not None):
            raise RefusedError

    def _refuse_busy(self, step: Step) -> None:
        if step.status in ("running", "succeeded") or (step.status == "blocked" and step.grown is not None):
            raise RefusedError
        self._refuse_ending(step)

    def _waits_for_outcome(self, step: Step) -> bool:
        is_live = not (self.is_final if step.scope == RUN else self.steps[step.scope].is_final)
        return step.node.hook is not None and is_live and self._group_of(step).outcome is None

    def _plain_outcome(self, step: Step) -> str:
        group = self._group_of(step)
        return (self.intent if group is self.whole else None) or self._outcome(group)

    def _outcome(self, group: Group) -> str:
        """Of its steps, hooks aside."""
        return "failed" if any(self._counts(step, group) for step in group.plain) else "succeeded"


def _is_untouched(step: Step) -> bool:
    return step.status == "ready" and step.attempt == 0


def _calls(outcome: str, step: Step) -> bool:
    hook = step.node.hook
    return hook is Hook.FINALLY or outcome == ("succeeded" if hook is Hook.ON_SUCCESS else "failed")
