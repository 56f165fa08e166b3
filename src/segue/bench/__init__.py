"""`segue bench`: measures how fast Segue is on this machine, with the workloads of docs/performance.md.

No-op tasks, a real worker process, everything durable. The databases are created for the purpose and removed
afterwards; existing data is never touched. Every figure is checked: each node ran exactly once, and in order.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table.

    Returns 0 if everything could be measured, whatever the goals, and 1 if not; 2 for wrong arguments, 130 after an
    interrupt by Ctrl-C or SIGTERM.

    Example::

        main(["--database", "postgresql://postgres@127.0.0.1/postgres", "--only", "chain,drain"])
    """
    from segue.bench.command import run  # noqa: PLC0415 - keeps importing the package cheap

    return run(argv)
