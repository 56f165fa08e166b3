"""Lists across all namespaces, `--namespace '*'`: each entry is shown with its namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from rich.table import Table

from segue.cli.options import Setup


class InNamespace(Protocol):
    """An entry of a list."""

    @property
    def namespace(self) -> str:
        """'' is the default one."""
        ...


T = TypeVar("T", bound=InNamespace)


def records(setup: Setup, found: Iterable[T], record: Callable[[T], dict[str, Any]]) -> list[dict[str, Any]]:
    """A list as JSON objects, with the field `namespace` if it covers all namespaces."""
    if not setup.sees_all:
        return [record(each) for each in found]
    return [record(each) | {"namespace": each.namespace} for each in found]


def with_namespaces(setup: Setup, table: Table, found: Sequence[InNamespace]) -> Table:
    """The table of a list, with a column for the namespace if it covers all namespaces."""
    if setup.sees_all:
        table.add_column("namespace", no_wrap=True)
        table.columns[-1]._cells.extend(
            each.namespace or "(default)" for each in found
        )  # the table has its rows already
    return table
