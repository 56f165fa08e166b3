"""One task of a workflow, and what it depends on."""

from __future__ import annotations

from typing import Any

from celery.canvas import Signature

from segue.errors import SegueError


class WorkflowException(SegueError):  # noqa: N818 - the name that projects import
    """A workflow was used wrongly, or took too long."""


class WorkflowNode:
    """A signature that was frozen, so that it has an id. `custom_payload` is a dict for the project's own use."""

    def __init__(self, signature: Signature) -> None:
        if signature.id is None:
            raise WorkflowException(f"The signature {signature} is not frozen. Call its freeze() first.")
        self.id: str = signature.id
        self.signature = signature
        self.dependencies: dict[str, Any] = {}
        self.custom_payload: dict[str, Any] = {}

    def add_dependency(self, other: WorkflowNode, options: Any = None) -> None:
        """Let it wait for another node. Raises WorkflowException if it does already."""
        if other.id in self.dependencies:
            raise WorkflowException(f"The dependency of {self.id} on {other.id} was already added.")
        self.dependencies[other.id] = options

    def to_dict(self) -> dict[str, Any]:
        """The node as JSON."""
        return {
            "id": self.id, "signature": self.signature, "dependencies": self.dependencies,
            "custom_payload": self.custom_payload,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, node_dict: dict[str, Any]) -> WorkflowNode:
        """The node of such a dict."""
        node = cls(Signature.from_dict(node_dict["signature"]))
        node.id = node_dict["id"]
        node.dependencies = node_dict["dependencies"]
        node.custom_payload = node_dict.get("custom_payload", {})
        return node
