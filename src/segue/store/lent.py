"""What is said to a task that ends the transaction that it was lent, whichever the database."""

from __future__ import annotations

from segue.errors import DefinitionError

_REMEDY = (
    "Segue commits it together with the outcome of the step. Leave that out; for a part that may fail use a savepoint"
)


def refused(what: str, savepoint: str) -> DefinitionError:
    """The task asked for its transaction to be ended, and was not heard."""
    return DefinitionError(f"A transactional task may not end its transaction ({what}): {_REMEDY} ({savepoint}).")


def ended(savepoint: str) -> DefinitionError:
    """The task ended its transaction nevertheless."""
    return DefinitionError(
        "The transaction of a transactional task was ended by the task itself (COMMIT, ROLLBACK, or closing the "
        "connection). The attempt does not count, but what the task committed stays and must be looked at by hand. "
        f"{_REMEDY} ({savepoint})."
    )
