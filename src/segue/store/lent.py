"""What a connection that is lent to a task has in common, whichever the database: it does not end its transaction."""

from __future__ import annotations

from typing import Any, ClassVar

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


class LentConnection:
    """Mixed into a driver's connection: while it is lent, commit, rollback, close and `with` are refused."""

    is_lent = False
    refusal: DefinitionError | None = None
    savepoint: ClassVar[str]  # how to write one, for the error

    def commit(self) -> None:
        """Refused while a task has it."""
        self.refuse("connection.commit()")
        super().commit()  # type: ignore[misc]

    def rollback(self) -> None:
        """Refused while a task has it."""
        self.refuse("connection.rollback()")
        super().rollback()  # type: ignore[misc]

    def close(self) -> None:
        """Refused while a task has it."""
        self.refuse("connection.close()")
        super().close()  # type: ignore[misc]

    def __exit__(self, *exc_info: Any) -> Any:
        self.refuse("`with connection:`")
        return super().__exit__(*exc_info)  # type: ignore[misc]

    def refuse(self, what: str) -> None:
        """Raise DefinitionError while a task has it; whoever lent it finds the same in `refusal`."""
        if self.is_lent:
            self.refusal = refused(what, self.savepoint)
            raise self.refusal
