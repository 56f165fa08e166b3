"""The contract of executors that are polled: what each call must do, at a real platform, and what comes of it in a run.

With pytest::

    @pytest.mark.parametrize("case", POLLED_CASES)
    def test_contract(segue, executor, case):
        check_polled(segue, executor, case)

Each case submits one or two commands, which need only `/bin/sh` there, and waits for what they do. `between` is called
between two looks; a platform that does nothing by itself does something then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from segue.authoring.pushed import CONTAINER
from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.protocol import Cause, Phase, PolledExecutor, Push, Sighting, Submission, UnsureError
from segue.engine.control import cancel_run
from segue.engine.ids import process_ids
from segue.engine.views.look import list_steps, run_info, run_result
from segue.model import Job, Ref
from segue.plan.graph import Node, Plan
from segue.plan.pushed import queue_of
from segue.testing.executor_contract import ContractBrokenError
from segue.testing.scripted import HasEngine

SAYS = "echo said by the contract"
SLEEPS = "echo sleeping; sleep 600"


class PolledCase(StrEnum):
    """What is checked. The last four are about a run, with a dispatcher."""

    A_COMMAND_SUCCEEDS = "a command succeeds, and its output is collected, twice the same"
    A_COMMAND_FAILS = "the exit code of a command is told"
    ITS_ENVIRONMENT = "a command has its variables, and says in them who it is"
    IT_IS_FOUND = "what was submitted is found by its name, under the id that submit returned"
    WHAT_IS_UNKNOWN = "what was never submitted is not found and is gone; ending and cleaning it is no error"
    IT_IS_ENDED = "what runs is ended, however often that is asked"
    IT_IS_A_STRAY = "what runs is among the jobs with names of Segue's, and what has ended is not"
    A_RUN_SUCCEEDS = "a run with a step succeeds"
    A_REPLY_IS_LOST = "a submission whose reply was lost is found, and not made again"
    EVERY_DISPATCHER_DIES = "a run goes well whose dispatcher is another one in each round"
    A_RUN_IS_CANCELLED = "the job of a cancelled run is ended, and the run is cancelled"


POLLED_CASES: tuple[PolledCase, ...] = tuple(PolledCase)
"""All that `check_polled` can check."""


def check_polled(
    owner: HasEngine, executor: PolledExecutor, case: PolledCase, *, seconds: float = 120.0,
    image: str = "busybox:stable", between: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """Check one case at an executor, and wait up to `seconds` for its platform. Raises ContractBrokenError.

    `owner` is the `Segue` whose runs are used. The commands run in this image, where the executor has images.

    Example::

        check_polled(segue, Slurm("hpc", folder="/shared/segue"), PolledCase.A_COMMAND_FAILS)
    """
    stand = _Stand(owner, executor, seconds, image, between or (lambda: None))
    _CHECKS[case](stand)


class _Stand:
    """One executor under test."""

    def __init__(
        self, owner: HasEngine, executor: PolledExecutor, seconds: float, image: str, between: Callable[[], None]
    ) -> None:
        self.engine = owner.engine
        self.executor = executor
        self.image = image
        self._seconds = seconds
        self._between = between

    def arguments(self, text: str) -> dict[str, Any]:
        return {"image": self.image, "command": ["/bin/sh", "-c", text], "values": {}, "env": {"COLOUR": "light blue"}}

    def new_push(self) -> Push:
        made = process_ids.new(self.engine.store.now())
        return Push(made, (made, 0, 1))

    def submit(self, text: str) -> Push:
        """Submit a command without a run; the caller ends it."""
        push = self.new_push()
        args = msgspec.json.encode([[], self.arguments(text)]).decode()
        job = Job(*push.attempt, "contract", CONTAINER, args, None, {}, None)
        return push._replace(external_id=self.executor.submit(Submission(push, job, None)))

    def look(self, push: Push) -> Sighting | None:
        """The sighting of one push; None if it is left out."""
        return next((found for found in self.executor.look([push]) if found.push_id == push.id), None)

    def until(self, is_so: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + self._seconds
        while not (found := is_so()):
            self.must(time.monotonic() < end, f"{what}: not within {self._seconds:g} s")
            self._between()
            time.sleep(min(self.executor.pace.look_seconds, 0.2) / 10)
        return found

    def until_running(self, push: Push) -> None:
        self.until(lambda: (seen := self.look(push)) and seen.phase is Phase.RUNNING, "a command runs")

    def until_over(self, push: Push) -> Sighting:
        over = (Phase.ENDED, Phase.GONE)
        found: Sighting = self.until(
            lambda: (seen := self.look(push)) and seen.phase in over and seen, "a command has ended"
        )  # fmt: skip
        return found

    def end(self, push: Push) -> Sighting:
        """End it, gently at first."""
        self.executor.cancel([push], hard=False)
        self.executor.cancel([push], hard=True)
        return self.until_over(push)

    def start(self, text: str) -> str:
        args = msgspec.json.encode([[], self.arguments(text)]).decode()
        name = self.executor.name
        node = Node("command", CONTAINER, args=args, queue=queue_of(name), executor=name)
        [run_id] = self.engine.start([(Plan("contract", (node,), result=Ref(0)), None)])
        return run_id

    def finish(self, run_id: str, dispatcher: Callable[[], Dispatcher], status: str) -> None:
        """Rounds of the dispatcher until the run has ended in this way."""

        def is_over() -> bool:
            dispatcher().run_once()
            with self.engine.reading() as tx:
                return run_info(tx, run_id).status.is_final

        self.until(is_over, "the run has ended")
        with self.engine.reading() as tx:
            found, [step] = run_info(tx, run_id).status.value, list_steps(tx, run_id)
            self.must(found == status, f"the run is {found}, not {status}: {step.error}")
            self.must(step.attempt == 1, f"the step was tried {step.attempt} times")
            if status == "succeeded":
                result = msgspec.json.decode(run_result(tx, run_id))
                self.must("said by the contract" in result["output"], f"the result is {result}")
        self.must(not self.engine.broken_invariants(), "an invariant is broken")

    def must(self, is_so: object, otherwise: str) -> None:
        if not is_so:
            raise ContractBrokenError(f"{self.executor.name}: {otherwise}")


def _succeeds(stand: _Stand) -> None:
    push = stand.submit(SAYS)
    seen = stand.until_over(push)
    stand.must((seen.phase, seen.cause, seen.exit_code) == (Phase.ENDED, Cause.EXIT, 0), f"it was told: {seen}")
    first, second = stand.executor.collect(push), stand.executor.collect(push)
    stand.must("said by the contract" in first.output, f"its output is {first.output!r}")
    stand.must(first == second, "what is collected twice differs")
    stand.must("said by the contract" in stand.executor.read_output(push), "its output cannot be read for people")
    stand.executor.clean([push])
    stand.executor.clean([push])


def _fails(stand: _Stand) -> None:
    seen = stand.until_over(stand.submit(f"{SAYS}; exit 3"))
    stand.must((seen.phase, seen.cause, seen.exit_code) == (Phase.ENDED, Cause.EXIT, 3), f"it was told: {seen}")


def _environment(stand: _Stand) -> None:
    push = stand.submit('echo "<$COLOUR> <$SEGUE_RUN> <$SEGUE_STEP> <$SEGUE_ATTEMPT> <$SEGUE_PUSH>"')
    stand.until_over(push)
    output = stand.executor.collect(push).output
    stand.must(f"<light blue> <{push.attempt[0]}> <0> <1> <{push.id}>" in output, f"its output is {output!r}")


def _is_found(stand: _Stand) -> None:
    push, other = stand.submit(SAYS), stand.new_push()
    found = stand.until(lambda: stand.executor.find([push, other]), "what was submitted is found")
    stand.must(found == {push.id: push.external_id}, f"found was {dict(found)}, not {push.external_id!r} of {push.id}")
    stand.until_over(push)
    stand.must(push.id in stand.executor.find([push]), "what has ended is not found any more")


def _unknown(stand: _Stand) -> None:
    real = stand.submit(SAYS)  # so that the form of its id is known
    stand.until_over(real)
    push = stand.new_push()._replace(external_id=real.external_id)
    stand.must(not stand.executor.find([push]), "what was never submitted is found")
    seen = stand.look(push)
    stand.must(
        seen is not None and seen.phase is Phase.GONE, f"another push with an id that was given before is {seen}"
    )
    stand.executor.cancel([push], hard=False)
    stand.executor.cancel([push], hard=True)
    stand.executor.clean([push])


def _is_ended(stand: _Stand) -> None:
    push = stand.submit(SLEEPS)
    stand.until_running(push)
    seen = stand.end(push)
    stand.must(seen.exit_code != 0 or seen.cause is not Cause.EXIT, f"what was ended counts as a success: {seen}")
    stand.executor.cancel([push], hard=False)
    stand.executor.cancel([push], hard=True)


def _is_stray(stand: _Stand) -> None:
    push = stand.submit(SLEEPS)
    stand.until_running(push)
    strays = {(stray.push_id, stray.external_id) for stray in stand.executor.strays()}
    stand.must((push.id, push.external_id) in strays, f"{push.external_id} is not among {sorted(strays)}")
    stand.end(push)
    stand.until(lambda: push.id not in {stray.push_id for stray in stand.executor.strays()}, "it is no stray any more")


def _run_succeeds(stand: _Stand) -> None:
    dispatcher = Dispatcher(stand.engine, stand.executor)
    stand.finish(stand.start(SAYS), lambda: dispatcher, "succeeded")


def _reply_is_lost(stand: _Stand) -> None:
    losing = _LosesReplies(stand.executor)
    dispatcher = Dispatcher(stand.engine, losing)
    stand.finish(stand.start(SAYS), lambda: dispatcher, "succeeded")
    stand.must(losing.count == 1, f"it was submitted {losing.count} times")


def _dispatchers_die(stand: _Stand) -> None:
    stand.finish(stand.start(SAYS), lambda: Dispatcher(stand.engine, stand.executor), "succeeded")


def _run_is_cancelled(stand: _Stand) -> None:
    dispatcher = Dispatcher(stand.engine, stand.executor)
    run_id = stand.start(SLEEPS)

    def runs() -> bool:
        dispatcher.run_once()
        with stand.engine.reading() as tx:
            return list_steps(tx, run_id)[0].status == "running"

    stand.until(runs, "the step runs")
    stand.engine.act(cancel_run, run_id)
    stand.finish(run_id, lambda: dispatcher, "cancelled")


class _LosesReplies:
    """The executor, whose answers to submissions are lost."""

    def __init__(self, executor: PolledExecutor) -> None:
        self._executor = executor
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def submit(self, submission: Submission) -> str:
        self._executor.submit(submission)
        self.count += 1
        raise UnsureError("the contract lost the reply")


_CHECKS: Mapping[PolledCase, Callable[[_Stand], None]] = {
    PolledCase.A_COMMAND_SUCCEEDS: _succeeds, PolledCase.A_COMMAND_FAILS: _fails,
    PolledCase.ITS_ENVIRONMENT: _environment, PolledCase.IT_IS_FOUND: _is_found,
    PolledCase.WHAT_IS_UNKNOWN: _unknown, PolledCase.IT_IS_ENDED: _is_ended, PolledCase.IT_IS_A_STRAY: _is_stray,
    PolledCase.A_RUN_SUCCEEDS: _run_succeeds, PolledCase.A_REPLY_IS_LOST: _reply_is_lost,
    PolledCase.EVERY_DISPATCHER_DIES: _dispatchers_die, PolledCase.A_RUN_IS_CANCELLED: _run_is_cancelled,
}  # fmt: skip
