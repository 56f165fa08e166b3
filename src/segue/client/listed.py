"""Runs as `segue.runs()` lists them: their fields as they were read, and the verbs of `Run`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from segue.client.run import Run
from segue.engine.engine import Engine
from segue.engine.views.look import RunInfo

P = ParamSpec("P")
T = TypeVar("T")
RUN = "_run"
"""Under this name a listed run keeps the run itself: not as a field, which would be shown, compared and encoded."""


def by_run(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method of the run, for a run that was listed."""

    @wraps(method)
    def call(listed: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(listed.run, *args, **kwargs)

    return call


class ListedRun(RunInfo, frozen=True, dict=True):
    """A run as it was when it was read, with the verbs of `Run`.

    Its fields do not change: `listed.run` is the run itself, whose `status` is read each time. `steps` is the
    number of steps; `listed.run.steps()` lists them.

    Example::

        for listed in segue.runs(workflow="shop.nightly", status="running"):
            listed.cancel(reason="the warehouse is down")
    """

    @property
    def run(self) -> Run:
        """The run, to work with."""
        found: Run = self.__dict__[RUN]
        return found

    info = by_run(Run.info)
    counts = by_run(Run.counts)
    attempts = by_run(Run.attempts)
    wait = by_run(Run.wait)
    result = by_run(Run.result)
    progress = by_run(Run.progress)
    follow = by_run(Run.follow)
    watch = by_run(Run.watch)
    pause = by_run(Run.pause)
    resume = by_run(Run.resume)
    cancel = by_run(Run.cancel)
    retry = by_run(Run.retry)
    fork = by_run(Run.fork)
    step = by_run(Run.step)
    send = by_run(Run.send)
    explain = by_run(Run.explain)
    groups = by_run(Run.groups)
    members = by_run(Run.members)
    messages = by_run(Run.messages)


def listed(engine: Engine, info: RunInfo) -> ListedRun:
    """A run that was read, with its verbs."""
    found = ListedRun(*msgspec.structs.astuple(info))
    found.__dict__[RUN] = Run(engine, info.id)
    return found
