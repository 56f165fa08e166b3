"""Push destinations: the names of Taskflow's push workers. An executor of Segue does the work."""

from __future__ import annotations

from typing import Any, ClassVar

from segue.compat.refusing import not_translated


class PushWorker:
    """What a push destination needs besides its executor. A push worker of a project's own becomes an executor."""

    push_type: ClassVar[str] = ""

    def __init__(self, taskflow: Any = None) -> None:
        if type(self) is PushWorker or type(self).push_type == "":
            not_translated("PushWorker", "Write an executor: docs/migrate-taskflow.md has one on a page.")
        self.taskflow = taskflow
        self.defaults: dict[str, Any] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not cls.__module__.startswith(f"{__name__}."):
            not_translated(
                f"a PushWorker of your own ({cls.__name__})",
                "Write an executor instead: docs/migrate-taskflow.md has one on a page.",
            )
