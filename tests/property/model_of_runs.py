"""What a run ought to do, said again in the plainest way: no counters, no SQL, every rule judged from the statuses.

The engine counts down and writes what changes; this looks at everything after every event until nothing moves. That
they agree is what the property tests are about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from segue.model import RUN, Expr, Hook, JoinRule, Outcome, Ref, Value, Verdict
from segue.plan import codec
from segue.plan.graph import Node, Plan

FINAL = {"succeeded", "failed", "skipped", "cancelled"}


@dataclass
class Step:
    number: int
    base: int  # the number of the first step of its plan
    scope: int
    node: Node
    parents: tuple[int, ...]
    status: str = "blocked"
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    worker: str | None = None
    is_asked_to_end: bool = False
    result: Any = None
    grown: Group | None = None  # the plan that its task returned
    called: Step | None = None  # or the step that took its place, as that plan was nothing but its call

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass
class Group:
    """A run or a step that returned a plan: steps with one outcome, and the hooks that wait for it."""

    number: int
    result: Any  # that of the step `result_of`, when there is one
    result_of: int | None = None
    members: list[Step] = field(default_factory=list)
    outcome: str | None = None
    is_done: bool = False

    @property
    def plain(self) -> list[Step]:
        return [step for step in self.members if step.node.hook is None]

    @property
    def hooks(self) -> list[Step]:
        return [step for step in self.members if step.node.hook is not None]


class ModelRun:
    """One run. `apply` what a turn brings, then compare `statuses`."""

    def __init__(self, plan: Plan) -> None:
        self.steps: list[Step] = []
        self.fail_fast = plan.fail_fast
        self.intent: str | None = None
        self.is_paused = False
        self.status = "pending"  # apart from that
        self.whole = self._grow(plan, RUN)
        self._settle()

    @property
    def is_final(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")

    @property
    def is_being_ended(self) -> bool:
        return self.intent is not None and self.whole.outcome is None

    def statuses(self) -> dict[int, str]:
        return {step.number: step.status for step in self.steps}

    def shown_status(self) -> str:
        return "paused" if self.is_paused and not self.is_final else self.status

    def running(self) -> list[Step]:
        return [step for step in self.steps if step.status == "running"]

    # Events -----------------------------------------------------------------------------------------------------

    def claim(self, number: int, attempt: int, worker: str) -> None:
        step = self.steps[number]
        assert step.status == "ready", f"step {number} was claimed while {step.status}"
        assert not self.is_paused, f"step {number} was claimed in a paused run"
        assert attempt == step.attempt + 1
        step.status, step.attempt, step.worker = "running", attempt, worker
        if self.status == "pending":
            self.status = "running"

    def wants_to_run(self, number: int) -> bool:
        step = self.steps[number]
        match step.node.when:
            case None:
                return True
            case Ref(step=parent):
                return bool(self.result(step.base + parent))
            case when:
                return bool(_known(when))

    def result(self, number: int) -> Any:
        """What a step returned; null when it did not succeed. A join has the list of what its parents returned."""
        step = self.steps[number]
        if step.node.task is None and step.status == "succeeded":
            return [self.result(parent) for parent in step.parents]
        if step.grown is not None:
            return self.result_of(step.grown) if step.status == "succeeded" else None
        return step.result

    def result_of(self, group: Group) -> Any:
        """What a run, or a step that returned a plan, has as its result."""
        return group.result if group.result_of is None else self.result(group.result_of)

    def apply(self, outcomes: list[Outcome]) -> None:
        """Outcomes of one turn: successes first, then the others in order, then everything that follows."""
        for outcome in [o for o in outcomes if o.verdict == Verdict.SUCCEEDED]:
            self._end(outcome)
        self._settle()
        for outcome in [o for o in outcomes if o.verdict != Verdict.SUCCEEDED]:
            self._end(outcome)
        self._settle()

    def lose(self, worker: str) -> int:
        """The worker's lease ran out. Returns how many steps it had."""
        mine = [step for step in self.running() if step.worker == worker]
        for step in mine:
            if self.is_being_ended:
                step.status = "cancelled"
                continue
            step.losses += 1
            self._back(step)
            if step.losses > step.node.policy.lost_retries:
                step.status = "failed"
                self._failed(step)
        self._settle()
        return len(mine)

    def cancel(self) -> None:
        self.is_paused = False
        self._end_all("cancelled")
        self._settle()

    def pause(self, *, stop_running: bool) -> bool:
        """Whether it had an effect."""
        if self.is_final:
            return False
        asked = [step for step in self.running() if stop_running and not step.is_asked_to_end]
        for step in asked:
            step.is_asked_to_end = True
        was_paused, self.is_paused = self.is_paused, True
        return bool(asked) or not was_paused

    def resume(self) -> bool:
        was_paused, self.is_paused = self.is_paused, False
        return was_paused and not self.is_final

    def asked_to_end(self, worker: str) -> set[int]:
        return {step.number for step in self.running() if step.is_asked_to_end and step.worker == worker}

    # What they mean ---------------------------------------------------------------------------------------------

    def _end(self, outcome: Outcome) -> None:
        step = self.steps[outcome.step]
        if step.status != "running" or step.attempt != outcome.attempt:
            return
        match outcome.verdict:
            case Verdict.SUCCEEDED:
                step.status, step.result = "succeeded", msgspec.json.decode(outcome.result or "null")
            case Verdict.SKIPPED:
                step.status = "skipped"
            case _ if self.is_being_ended:
                step.status = "cancelled"
            case Verdict.CANCELLED | Verdict.FAILED if step.is_asked_to_end:
                self._back(step)  # no try, whatever it says
            case Verdict.CANCELLED:
                step.status = "cancelled"
            case Verdict.RELEASED:
                self._back(step)
            case Verdict.EXPANDED:
                plan = codec.decode(outcome.result or "")
                if self._is_passed_on(step, plan):
                    self._pass_on(step, plan)
                else:
                    step.status = "blocked"
                    step.grown = self._grow(plan, step.number)
            case Verdict.FAILED:
                step.failures += 1
                if outcome.retryable and step.failures <= step.node.policy.retries:
                    self._back(step)
                else:
                    step.status = "failed"
                    self._failed(step)

    def _back(self, step: Step) -> None:
        step.status, step.is_asked_to_end = "ready", False

    def _failed(self, step: Step) -> None:
        if self.fail_fast and step.node.hook is None and not step.node.policy.may_fail:
            self._end_all("failed")

    def _end_all(self, intent: str) -> None:
        if self.intent is not None or self.whole.outcome is not None or self.is_final:
            return
        self.intent = intent
        for step in self.steps:
            step.is_asked_to_end |= step.status == "running"
            if step.status in ("blocked", "ready") and not (step.node.hook is not None and step.scope == RUN):
                step.status = "cancelled"

    def _grow(self, plan: Plan, scope: int) -> Group:
        base = len(self.steps)
        if isinstance(plan.result, Ref):
            group = Group(scope, None, base + plan.result.step)
        else:
            group = Group(scope, None if plan.result is None else _known(plan.result))
        for number, node in enumerate(plan.nodes):
            step = Step(base + number, base, scope, node, tuple(base + parent for parent in node.parents))
            self.steps.append(step)
            group.members.append(step)
        return group

    def _is_passed_on(self, step: Step, plan: Plan) -> bool:
        """The plan is one call, and so is the plan that the step is of."""
        group = self._group_of(step)
        return (
            len(plan.nodes) == 1 and plan.nodes[0].hook is None and plan.result == Ref(0)
            and step.scope != RUN and not group.hooks and group.result_of == step.number
            and step.node.hook is None and not step.node.policy.may_fail
            and step.node.rule not in (JoinRule.ANY_FAILED, JoinRule.ANY_SUCCEEDED)
            and all(other is step or other.called is not None for other in group.members)
        )  # fmt: skip

    def _pass_on(self, step: Step, plan: Plan) -> None:
        group, number = self._group_of(step), len(self.steps)
        step.status, step.called = "succeeded", Step(number, number, step.scope, plan.nodes[0], ())
        self.steps.append(step.called)
        group.members.append(step.called)
        group.result_of = number

    # What follows -----------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        moved = True
        while moved:
            moved = sum(self._advance(step) for step in self.steps if step.status == "blocked") > 0
            moved = self._advance_group(self.whole) or moved

    def _advance(self, step: Step) -> bool:
        if step.grown is not None:
            return self._advance_group(step.grown)
        if step.node.hook is not None and self._group_of(step).outcome is None:
            return False
        verdict = self._judge(step)
        if verdict == "wait":
            return False
        if verdict == "skip":
            step.status = "skipped"
        elif step.node.task is None:
            step.status = "succeeded"
        else:
            step.status = "ready"
        return True

    def _judge(self, step: Step) -> str:
        above = [self.steps[parent].status for parent in step.parents]
        waits = any(status not in FINAL for status in above)
        bad = any(status in ("failed", "cancelled") for status in above)
        match step.node.rule:
            case JoinRule.ANY_SUCCEEDED:
                good = "succeeded" in above
                return "start" if good or not above else "wait" if waits else "skip"
            case JoinRule.ANY_FAILED:
                return "start" if bad or not above else "wait" if waits else "skip"
            case JoinRule.ALL_SUCCEEDED:
                return "wait" if waits else "skip" if bad or "skipped" in above else "start"
            case JoinRule.NONE_FAILED:
                return "wait" if waits else "skip" if bad else "start"
            case JoinRule.SOME_FAILED:
                return "wait" if waits else "start" if bad or not above else "skip"
            case JoinRule.ALL_DONE:
                return "wait" if waits else "start"

    def _group_of(self, step: Step) -> Group:
        if step.scope == RUN:
            return self.whole
        group = self.steps[step.scope].grown
        assert group is not None
        return group

    def _advance_group(self, group: Group) -> bool:
        if group.is_done:
            return False
        if group.outcome is None:
            if group.number == RUN and self.intent is not None:
                if self.running():
                    return False
                group.outcome = self.intent
            elif not all(step.is_final for step in group.plain):
                return False
            else:
                group.outcome = "failed" if any(self._counts(step, group) for step in group.plain) else "succeeded"
            for hook in group.hooks:
                if not _is_called(hook.node.hook, group.outcome):
                    hook.status = "skipped"
            return True
        if not all(step.is_final for step in group.hooks):
            return False
        if any(step.status == "failed" and not step.node.policy.may_fail for step in group.hooks):
            group.outcome = "failed"
        group.is_done = True
        if group.number == RUN:
            self.status, self.is_paused = group.outcome, False
        else:
            above = self.steps[group.number]
            above.status = "succeeded" if group.outcome == "succeeded" else "failed"
        return True

    def _counts(self, step: Step, group: Group) -> bool:
        """Does this failure count: may it not fail, and did nobody take it on?"""
        if step.status != "failed" or step.node.policy.may_fail:
            return False
        early = (JoinRule.ANY_FAILED, JoinRule.ANY_SUCCEEDED)
        return not any(
            step.number in child.parents and child.node.rule in early and child.status == "succeeded"
            for child in group.members
        )


def _known(expr: Expr) -> Any:
    assert isinstance(expr, Value)
    return msgspec.json.decode(bytes(expr.json))


def _is_called(hook: Hook | None, outcome: str) -> bool:
    return (
        hook is Hook.FINALLY
        or (hook is Hook.ON_SUCCESS and outcome == "succeeded")
        or (hook is Hook.ON_FAILURE and outcome == "failed")
    )
