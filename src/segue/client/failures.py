"""What failed, by the kind of error: `segue.failures`."""

from __future__ import annotations

from datetime import datetime, timedelta

from segue.client.given import guarded
from segue.engine.engine import Engine
from segue.engine.views import failures
from segue.engine.views.failures import ErrorGroups, ErrorKind

A_DAY = timedelta(days=1)


@guarded
class Failures:
    """Attempts that failed or were lost, also those that a retry made good. Errors of the same kind are one group.

    They are of the same kind if the task, the type, the deepest function of your code and the message are the same; in
    messages, numbers, ids, paths and quoted texts do not count.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def groups(
        self, *, since: datetime | None = None, task: str | None = None, type: str | None = None
    ) -> ErrorGroups:  # fmt: skip
        """The kinds of errors since a time, or in the last day, the most frequent first.

        It looks at the newest 5,000 failed attempts at most; then `since` of the answer is later than the one given.
        `task` is the full name. Example::

            for group in segue.failures.groups().groups:
                print(group.count, group.task, group.type, group.message)
        """
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            return failures.group_failures(
                tx, now, since or now - A_DAY, task=task, type_=type, prefix=self._engine.prefix
            )  # fmt: skip

    def get(
        self, fingerprint: str, *, before: datetime | None = None, cursor: str | None = None, limit: int = 20
    ) -> ErrorKind:  # fmt: skip
        """One kind of error, with its newest failed attempts and their tracebacks; those before a time, if it is given.

        For the next page give `next` as `cursor`. Raises FingerprintNotFoundError. Example::

            print(segue.failures.get(group.fingerprint).failures[0].error.traceback)
        """
        with self._engine.reading() as tx:
            return failures.error_kind(
                tx, fingerprint, before=before, cursor=cursor, limit=limit, prefix=self._engine.prefix
            )
