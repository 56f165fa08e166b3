"""Signals of workflows: functions of the project that are called as a workflow goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from segue.compat.dyrygent.workflows.node import WorkflowException
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.compat.dyrygent")

Hook = TypeVar("Hook", bound=Callable[..., Any])


class SendsSignals:
    """Mixed into `Workflow`."""

    hooks: ClassVar[dict[str, list[Callable[..., Any]]]] = {
        "after_active_tick": [],
        "on_finish": [],
        "on_state_change": [],
    }

    @classmethod
    def connect(cls, hook_name: str) -> Callable[[Hook], Hook]:
        """Call the function when the signal is emitted, with the workflow and the payload. What it raises is logged.

        Example::

            @Workflow.connect("on_state_change")
            def note(workflow, payload): ...
        """
        if hook_name not in cls.hooks:
            raise WorkflowException(f"{hook_name!r} is no signal. Signals are {', '.join(sorted(cls.hooks))}.")

        def connected(function: Hook) -> Hook:
            cls.hooks[hook_name].append(function)
            cls.watch(hook_name)
            return function

        return connected

    @classmethod
    def watch(cls, hook_name: str) -> None:
        """A function is connected to this signal from now on."""

    def emit(self, hook_name: str, payload: Any = None) -> None:
        """Call the functions of a signal."""
        for hook in self.hooks[hook_name]:
            try:
                hook(self, payload)
            except Exception:
                logger.exception("A handler of the signal %s failed", hook_name)
