"""The graph of a workflow, walked in this process: nothing here looks at the database."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Any, NoReturn

from segue.compat.dyrygent.workflows.node import WorkflowException, WorkflowNode
from segue.compat.refusing import not_translated

_OF_TICKS = frozenset(
    {
        "are_scheduled", "check_consecutive_fails", "check_processing_time", "get_tasks_state",
        "reschedule_node_exec", "schedule_node_exec", "tick", "update_pending",
    }
)  # fmt: skip


class Walkable:
    """Mixed into `Workflow`."""

    nodes: dict[str, WorkflowNode]
    running: dict[str, Any]
    finished: dict[str, bool]

    def in_order(self) -> list[WorkflowNode]:
        """The nodes, each behind those that it depends on. Raises WorkflowException for a node that is missing."""
        graph = {id_: list(node.dependencies) for id_, node in self.nodes.items()}
        missing = sorted({other for others in graph.values() for other in others} - graph.keys())
        if missing:
            raise WorkflowException(f"Nodes depend on {', '.join(missing)}, which was not added to the workflow.")
        return [self.nodes[id_] for id_ in TopologicalSorter(graph).static_order()]

    def is_success(self) -> bool:
        """Whether all tasks have succeeded, as far as this object knows."""
        return len(self.finished) == len(self.nodes) and all(self.finished.values())

    def iterate_dependencies(self) -> Iterator[tuple[WorkflowNode, WorkflowNode | None]]:
        """Pairs of a node and one that it depends on; one that depends on nothing comes once, with None."""
        for node in self.nodes.values():
            for id_ in node.dependencies:
                yield node, self.nodes[id_]
            if not node.dependencies:
                yield node, None

    def get_unlocked_dependencies(self) -> set[str]:
        """The ids of the tasks that have succeeded, as far as this object knows."""
        return {id_ for id_, is_success in self.finished.items() if is_success}

    def get_signatures_to_run(self) -> list[WorkflowNode]:
        """The nodes whose dependencies have all succeeded, as far as this object knows."""
        done = self.get_unlocked_dependencies()
        return [
            node for node in self.nodes.values()
            if node.id not in self.finished and node.id not in self.running and node.dependencies.keys() <= done
        ]  # fmt: skip

    def simulate_tick(self) -> bool:
        """In this object only: let what runs succeed, and what could run now run. Returns whether something runs."""
        self.finished.update(dict.fromkeys(self.running, True))
        self.running.clear()
        self.running.update({str(node.id): True for node in self.get_signatures_to_run()})
        return bool(self.running)

    def __getattr__(self, name: str) -> NoReturn:
        if name in _OF_TICKS:
            not_translated(
                f"Workflow.{name}",
                "Nothing ticks: Segue sends tasks when others have ended. Look at the run: segue.get(run_id).steps().",
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
