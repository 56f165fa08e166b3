"""The part of `Run` that shows its steps in groups."""

from __future__ import annotations

from segue.client.given import guarded
from segue.engine.engine import Engine
from segue.engine.views.groups import StepGroups, groups_of_run, members_of_group
from segue.engine.views.look import StepInfo, run_info
from segue.engine.views.waiting import MessageInfo, list_messages


@guarded
class Grouped:
    """The steps of a run in groups, for runs with many steps; and its messages."""

    id: str
    _engine: Engine

    def groups(self) -> StepGroups:
        """Its steps in groups: the items of a `map` are one group, any other step is one by itself.

        The database counts them, so that this is fast for a run with 100,000 steps as well. Example::

            for group in run.groups().groups:
                print(group.name, group.count, group.counts)
        """
        with self._engine.reading() as tx:
            run_info(tx, self.id)  # raises for a run that is not there
            return groups_of_run(tx, self.id)

    def members(
        self, first: int, *, status: str | None = None, after: int = -1, limit: int = 100
    ) -> list[StepInfo]:  # fmt: skip
        """The steps of the group whose first step has this number, in order; of one status, if that is given.

        For the next page give the number of the last step as `after`. Raises StepNotFoundError. Example::

            failed = run.members(group.first, status="failed")
        """
        with self._engine.reading() as tx:
            run_info(tx, self.id)
            return members_of_group(tx, self.id, first, status=status, after=after, limit=limit)

    def messages(self, *, after: int = -1, limit: int = 50) -> list[MessageInfo]:
        """The messages that were sent to it, in the order of sending, from the position after `after`."""
        with self._engine.reading() as tx:
            run_info(tx, self.id)
            return list_messages(tx, self.id, after=after, limit=limit)
