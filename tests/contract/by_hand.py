"""What people say to runs and steps, on a `Stage`: each says it, and sees that nothing in the database is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from segue.engine.reopening import manual
from segue.engine.reopening.edit import NewArguments, edit_step
from segue.engine.reopening.fork import fork_run
from segue.engine.reopening.retry import retry_from, retry_run
from segue.engine.verbs import Done
from segue.model import Job, Outcome
from segue.plan.check import Parameters
from tests.contract.stage import Stage, failed


def text_of(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def unknown(_: str) -> Parameters | None:
    """No task is known to this process."""
    return None


def say(stage: Stage, verb: Callable[..., Any], run_id: str, **said: Any) -> Any:
    came = stage.engine.act(verb, run_id, **said)
    assert stage.is_sound()
    return came


def retry(stage: Stage, run_id: str, step: str | int | None = None, **said: Any) -> Done:
    done = say(stage, retry_run, run_id, **said) if step is None else say(stage, retry_from, run_id, step=step, **said)
    assert isinstance(done, Done)
    return done


def skip(stage: Stage, run_id: str, step: str | int) -> Done:
    done = say(stage, manual.skip_step, run_id, step=step)
    assert isinstance(done, Done)
    return done


def mark(stage: Stage, run_id: str, step: str | int, result: Any = None) -> Done:
    done = say(stage, manual.mark_step, run_id, step=step, result=text_of(result))
    assert isinstance(done, Done)
    return done


def arguments(*positional: Any, **named: Any) -> NewArguments:
    given = [text_of(value) for value in positional] if positional else None
    return NewArguments(given, {name: text_of(value) for name, value in named.items()})


def edit(stage: Stage, run_id: str, step: str | int, *positional: Any, **named: Any) -> Done:
    done = say(stage, edit_step, run_id, step=step, new=arguments(*positional, **named), parameters=unknown)
    assert isinstance(done, Done)
    return done


def fork(stage: Stage, run_id: str, step: str | int, **said: Any) -> str:
    return str(say(stage, fork_run, run_id, new_id=stage.engine.new_id(), step=step, parameters=unknown, **said))


def fails(*names: str) -> dict[str, Callable[[Job], Outcome]]:
    """For `Stage.work`: the steps that fail for good."""
    return dict.fromkeys(names, lambda job: failed(job, retryable=False))
