"""The contract of executors that are polled, at a scripted platform whose jobs do what their commands say."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from segue.dispatcher.protocol import Cause, Collected, Phase, Push, Sighting, Submission
from segue.dispatcher.work import work_of
from segue.testing import POLLED_CASES, ContractBrokenError, PolledCase, ScriptedPlatform, check_polled
from tests.contract.stage import Stage


class Obedient(ScriptedPlatform):
    """Runs commands when it is told to go on; those that sleep run until they are ended."""

    def __init__(self) -> None:
        super().__init__("far")
        self.works: dict[str, Any] = {}
        self.outputs: dict[str, str] = {}

    def submit(self, submission: Submission) -> str:
        self.works[submission.push.id] = work_of(submission, run_step=[])
        return super().submit(submission)

    def go_on(self) -> None:
        for job in self.alive():
            work = self.works[job.push.id]
            if "sleep" not in work.words[-1]:
                done = subprocess.run(work.words, env=dict(work.environment), capture_output=True, text=True)
                self.outputs[job.push.id] = done.stdout
                self.end(job, Cause.EXIT, exit_code=done.returncode)
            elif job.id in {id_ for id_, _ in self.cancelled}:
                self.end(job, Cause.CANCELLED)
            else:
                self.begin(job)

    def look(self, pushes: Any) -> Any:
        """As a real platform that checks the name besides the id."""
        for sighting, push in zip(super().look(pushes), pushes, strict=True):
            far = self.jobs.get(push.external_id)
            is_another = far is not None and far.push.id != push.id
            yield Sighting(push.id, Phase.GONE) if is_another else sighting

    def collect(self, push: Push) -> Collected:
        return Collected(output=self.outputs.get(push.id, ""))


@pytest.fixture
def stage(renewed_stage: Stage) -> Iterator[Stage]:
    yield renewed_stage
    assert renewed_stage.engine.broken_invariants() == []


@pytest.mark.parametrize("case", POLLED_CASES)
def test_the_contract(stage: Stage, case: PolledCase) -> None:
    far = Obedient()

    def go_on() -> None:
        far.go_on()
        stage.advance(1)

    check_polled(stage, far, case, between=go_on, seconds=20)


class Forgetful(Obedient):
    """Finds nothing, so a lost reply leads to a second job."""

    def find(self, pushes: Any) -> Any:
        return {}


class Wrong(Obedient):
    """Says of all that it succeeded."""

    def look(self, pushes: Any) -> Any:
        for push in pushes:
            yield Sighting(push.id, Phase.ENDED, cause=Cause.EXIT, exit_code=0)


@pytest.mark.parametrize(
    "far, case",
    [
        (Forgetful(), PolledCase.A_REPLY_IS_LOST), (Forgetful(), PolledCase.IT_IS_FOUND),
        (Wrong(), PolledCase.A_COMMAND_FAILS), (Wrong(), PolledCase.WHAT_IS_UNKNOWN), (Wrong(), PolledCase.IT_IS_ENDED),
    ],
)  # fmt: skip
def test_an_executor_that_breaks_it_is_noticed(stage: Stage, far: Obedient, case: PolledCase) -> None:
    def go_on() -> None:
        far.go_on()
        stage.advance(1)

    with pytest.raises(ContractBrokenError):
        check_polled(stage, far, case, between=go_on, seconds=1)
