"""`Workflow`: a DAG of signatures, which becomes a run when it is applied."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any, ClassVar

from celery.canvas import Signature

from segue.compat.dyrygent.workflows.canvases import TakesCanvases
from segue.compat.dyrygent.workflows.node import WorkflowException, WorkflowNode
from segue.compat.dyrygent.workflows.signals import SendsSignals, logger
from segue.compat.dyrygent.workflows.starting import start
from segue.compat.dyrygent.workflows.ticks import watch_ticks
from segue.compat.dyrygent.workflows.walking import Walkable

_FIELDS = (
    "running", "finished", "processing_limit_ts", "version", "retry_policy", "id", "state", "tasks_options",
    "workflow_options", "custom_payload", "stats",
)  # fmt: skip


class WorkflowState:
    """The states of a workflow."""

    INITIAL = "INITIAL"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    ERROR = "ERROR"


class Workflow(TakesCanvases, SendsSignals, Walkable):
    """A DAG of Celery tasks. `options` are those of the task "workflow-processor", which ends it.

    Example::

        workflow = Workflow()
        workflow.add_celery_canvas(chain(fetch.si(7), group(resize.si(7, 640), resize.si(7, 1280))))
        workflow.apply_async().wait()

    `retry_policy` and `stats` are kept for the code that sets them, and have no effect: nothing is polled.
    """

    max_processing_time: int = 7 * 24 * 60 * 60
    workflow_processor_task: ClassVar[Any] = None

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        self.state = WorkflowState.INITIAL
        self.nodes: dict[str, WorkflowNode] = {}
        self.running: dict[str, Any] = {}
        self.finished: dict[str, bool] = {}
        self.id: str | None = None
        self.processing_limit_ts: float | None = None
        self.version = 1
        self.retry_policy: list[Any] = ["random", 10, 30]
        self.stats = {"last_apply_async_tick": 0, "ticks": 0, "consecutive_celery_error_ticks": 0}
        self.custom_payload: dict[str, Any] = {}
        self.tasks_options: dict[str, Any] = {}
        self.workflow_options = options or {}
        self.logger = logger

    def add_signature(self, signature: Signature, dependencies: Iterable[WorkflowNode] | None = None) -> WorkflowNode:
        """Add a signature that was frozen, behind some nodes. Raises WorkflowException if it was added already."""
        node = WorkflowNode(signature)
        if node.id in self.nodes:
            raise WorkflowException(f"The signature {node.id} was already added.")
        for dependency in dependencies or ():
            node.add_dependency(dependency)
        self.nodes[node.id] = node
        return node

    def freeze(self) -> Signature:
        """Give it an id, and return the signature of the task that ends it."""
        task = type(self).workflow_processor_task
        if task is None:
            raise WorkflowException("No workflow processor is registered. Call register_workflow_processor(app).")
        signature: Signature = task.signature(kwargs={"workflow_dict": None}, immutable=True)
        if self.id is not None:
            signature.set(task_id=self.id)
        signature.freeze()
        self.id = signature.id
        self.evaluate_processing_limit()
        signature.kwargs["workflow_dict"] = self.to_dict()
        return signature

    def apply_async(self, options: dict[str, Any] | None = None) -> Any:
        """Start it. Returns the result object of the task that ends it: `.wait()` waits for the whole workflow.

        `options`, such as a priority, go to every task; those of the constructor go to the task that ends it. Applied
        again it starts nothing.
        """
        self.tasks_options = options or {}
        signature = self.freeze()
        start(self, signature)
        return signature.type.AsyncResult(self.id)

    def skip_tasks(self, task_ids: Iterable[str]) -> None:
        """Take these tasks for done; what they depend on must be among them, too."""
        skipped = set(task_ids)
        for id_ in skipped:
            left = self.nodes[id_].dependencies.keys() - skipped - self.finished.keys()
            if left:
                raise WorkflowException(f"Task {id_} cannot be skipped: it depends on {', '.join(sorted(left))}.")
        self.finished.update(dict.fromkeys(skipped, True))

    def set_retry_policy(self, retry_type: str, *retry_args: Any) -> None:
        """How often the processor looked. Kept, without effect."""
        if retry_type != "random" or len(retry_args) != 2:
            raise WorkflowException(f"The retry policy {retry_type!r} is unknown. Give 'random', a minimum, a maximum.")
        self.retry_policy = [retry_type, *retry_args]

    def get_retry_countdown(self) -> int:
        """A time between the two of the retry policy. Nothing waits for it."""
        return random.randint(*self.retry_policy[1:])

    def set_max_processing_time(self, seconds: int) -> None:
        """Fail the workflow when it has not ended after so many seconds."""
        self.max_processing_time = seconds

    def evaluate_processing_limit(self) -> None:
        """Set when its time is over."""
        self.processing_limit_ts = time.time() + self.max_processing_time

    def set_state(self, state: str) -> None:
        """Change its state, and emit `on_state_change`."""
        if self.state != state:
            self.state = state
            self.emit("on_state_change", state)

    def to_dict(self) -> dict[str, Any]:
        """The workflow as JSON."""
        nodes = {id_: node.to_dict() for id_, node in self.nodes.items()}
        return {"nodes": nodes, **{name: getattr(self, name) for name in _FIELDS}}

    @classmethod
    def from_dict(cls, workflow_dict: dict[str, Any]) -> Workflow:
        """The workflow of such a dict."""
        workflow = cls()
        workflow.nodes = {id_: WorkflowNode.from_dict(node) for id_, node in workflow_dict["nodes"].items()}
        for name in _FIELDS:
            if name in workflow_dict:
                setattr(workflow, name, workflow_dict[name])
        return workflow

    @classmethod
    def set_workflow_processor_task(cls, task: Any) -> None:
        """The task that ends workflows."""
        cls.workflow_processor_task = task

    @classmethod
    def watch(cls, hook_name: str) -> None:
        """Observe what happens in this process, if the signal needs that."""
        if hook_name == "after_active_tick":
            watch_ticks(cls)
