"""`segue bench`: how fast Segue is on this machine, on the work that docs/performance.md speaks of.

No-op tasks, a real worker process, everything durable. The databases are made for the purpose and removed afterwards;
what is in an existing one is never touched. Every figure is checked: each node ran exactly once, and in order.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table.

    Returns 0 when everything could be measured, whatever the goals; 1 when not; 2 for wrong arguments, 130 when it was
    interrupted, by Ctrl-C or SIGTERM.

    Example::

        main(["--database", "postgresql://postgres@127.0.0.1/postgres", "--only", "chain,drain"])
    """
    from segue.bench.command import run  # noqa: PLC0415 - who asks for the package's name should not pay for the rest

    return run(argv)
