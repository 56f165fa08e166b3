"""Storages of callbacks, for projects that have one. Segue's messages have no callbacks, so nothing is stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, Generic, TypeVar

from segue.compat.dramatiq_workflow._models import SerializedCompletionCallbacks

Reference = TypeVar("Reference")


class CallbackStorage(ABC, Generic[Reference]):
    """Keeps lists of callbacks under references."""

    @abstractmethod
    def store(self, callbacks: SerializedCompletionCallbacks) -> Reference:
        """Keep them; returns a reference that the broker's encoder can write."""

    @abstractmethod
    def retrieve(self, ref: Reference) -> SerializedCompletionCallbacks:
        """What was kept under a reference."""


class InlineCallbackStorage(CallbackStorage[SerializedCompletionCallbacks]):
    """The callbacks are their own reference."""

    def store(self, callbacks: SerializedCompletionCallbacks) -> SerializedCompletionCallbacks:
        """See `CallbackStorage`."""
        return callbacks

    def retrieve(self, ref: SerializedCompletionCallbacks) -> SerializedCompletionCallbacks:
        """See `CallbackStorage`."""
        return ref


class _LazyLoadedWorkflow:
    """A workflow that is loaded when it is called."""

    def __init__(self, ref: Any, load_func: Any) -> None:
        self.ref = ref
        self.load_func = load_func

    def __call__(self) -> Any:
        return self.load_func()

    def __str__(self) -> str:
        return f"_LazyLoadedWorkflow({self.ref})"


class DedupWorkflowCallbackStorage(CallbackStorage[list[tuple[str, Any, bool]]], ABC, Generic[Reference]):
    """Keeps each workflow once, apart from the callbacks that it is in."""

    @abstractmethod
    def _store_workflow(self, id: str, workflow: dict[str, Any]) -> Reference:
        """Keep a workflow; returns a reference that the broker's encoder can write."""

    @abstractmethod
    def _load_workflow(self, id: str, ref: Reference) -> dict[str, Any]:
        """The workflow under a reference."""

    def store(self, callbacks: SerializedCompletionCallbacks) -> list[tuple[str, Any, bool]]:
        """See `CallbackStorage`. Raises TypeError for a workflow that is neither a dict nor one of its own."""
        return [(id_, self._reference(id_, workflow), is_group) for id_, workflow, is_group in callbacks]

    def retrieve(self, ref: list[tuple[str, Any, bool]]) -> SerializedCompletionCallbacks:
        """See `CallbackStorage`. Workflows are loaded when they are called."""
        return [(id_, self._lazy(id_, found), is_group) for id_, found, is_group in ref]

    def _reference(self, id_: str, workflow: Any) -> Any:
        if workflow is None:
            return None
        if isinstance(workflow, _LazyLoadedWorkflow):
            return workflow.ref
        if isinstance(workflow, dict):
            return self._store_workflow(id_, workflow)
        raise TypeError(f"Unsupported workflow type: {type(workflow)}. Expected None, dict, or _LazyLoadedWorkflow.")

    def _lazy(self, id_: str, found: Any) -> Any:
        if found is None or callable(found):
            return found
        return _LazyLoadedWorkflow(found, partial(self._load_workflow, id_, found))
