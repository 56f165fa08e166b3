"""A connection that is lent to a task, for every database: it refuses to end its transaction."""

from __future__ import annotations

from typing import Any, ClassVar

from segue.errors import DefinitionError

_REMEDY = (
    "Segue commits it together with the outcome of the step. Omit that call; for a part that may fail use a savepoint"
)


def refused(what: str, savepoint: str) -> DefinitionError:
    """The error for a task that tried to end its transaction, and was refused."""
    return DefinitionError(f"A transactional task may not end its transaction ({what}): {_REMEDY} ({savepoint}).")


def ended(savepoint: str) -> DefinitionError:
    """The error for a task that did end its transaction."""
    return DefinitionError(
        "The task ended its own transaction (COMMIT, ROLLBACK, or closing the connection). "
        "The attempt does not count, but what the task committed stays and must be checked by hand. "
        f"{_REMEDY} ({savepoint})."
    )


class LentConnection:
    """Mixed into a driver's connection: while it is lent, commit, rollback, close and `with` are refused."""

    is_lent = False
    refusal: DefinitionError | None = None
    savepoint: ClassVar[str]  # how to write a savepoint, for the error

    def commit(self) -> None:
        """Refused while the connection is lent."""
        self.refuse("connection.commit()")
        super().commit()  # type: ignore[misc]

    def rollback(self) -> None:
        """Refused while the connection is lent."""
        self.refuse("connection.rollback()")
        super().rollback()  # type: ignore[misc]

    def close(self) -> None:
        """Refused while the connection is lent."""
        self.refuse("connection.close()")
        super().close()  # type: ignore[misc]

    def __exit__(self, *exc_info: Any) -> Any:
        self.refuse("`with connection:`")
        return super().__exit__(*exc_info)  # type: ignore[misc]

    def refuse(self, what: str) -> None:
        """Raise DefinitionError while the connection is lent, and keep the error in `refusal` for the lender."""
        if self.is_lent:
            self.refusal = refused(what, self.savepoint)
            raise self.refusal
