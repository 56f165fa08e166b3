"""A server with an HTTP API of Segue, as an object with the verbs of `Segue`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack

from segue.authoring import Task, Workflow
from segue.client.records import from_record
from segue.client.selection import RunFilters
from segue.client.views import DefinitionInfo, RunInfo, Sent, WorkerInfo
from segue.errors import ConfigError
from segue.given import shown
from segue.remote.line import Line
from segue.remote.parts import (
    RemoteApprovals,
    RemoteEvents,
    RemoteLimits,
    RemoteSchedules,
    RemoteSelection,
    as_query,
)
from segue.remote.run import RemoteRun

if TYPE_CHECKING:
    import httpx2


class Remote:
    """A server, as `segue web` serves it. The token decides what may be done.

    Errors are those of `Segue`: RunNotFoundError, PlanError and so on; StoreUnavailableError if the server does not
    answer, and RemoteError for a refusal, as of a token without the role. What is only read, and what has a key, is
    asked again when the connection breaks. Threads may share it.

    Example::

        remote = Remote("https://ops.example.org/segue", token=os.environ["SEGUE_TOKEN"])
        run = remote.start("shop.nightly", "2026-11-20", key="2026-11-20")
        print(run.wait(timeout=600).result())
    """

    def __init__(
        self, url: str, *, token: str | None = None, timeout: float = 30.0, client: httpx2.Client | None = None
    ) -> None:
        self._line = Line(url, token=token, timeout=timeout, client=client)
        self.url = self._line.url
        self.schedules = RemoteSchedules(self._line)
        self.limits = RemoteLimits(self._line)
        self.approvals = RemoteApprovals(self._line)
        self.events = RemoteEvents(self._line)

    def start(
        self, work: str | Task[..., Any] | Workflow[..., Any], /, *args: Any, key: str | None = None,
        reuse_key: bool = False, tags: Sequence[str] = (), metadata: Mapping[str, Any] | None = None,
        deadline: float | timedelta | None = None, run_at: datetime | None = None, **kwargs: Any,
    ) -> RemoteRun:  # fmt: skip
        """Start a run of a workflow or task, by its name or by itself; it is durable when this returns.

        Arguments must be values that JSON has, or that Segue writes as JSON. The options are those of `Segue.start`.
        """
        if not isinstance(work, (str, Task, Workflow)):
            raise ConfigError(
                f"start({shown(work)}): over HTTP a workflow or task is started, by its name or by itself."
            )
        name = work if isinstance(work, str) else work.name
        made = self._line.do(
            "POST", "runs", may_repeat=key is not None and not reuse_key, name=name, args=list(args), kwargs=kwargs,
            key=key, reuse_key=reuse_key, tags=list(tags), metadata=dict(metadata or {}), deadline=deadline,
            run_at=run_at,
        )  # fmt: skip
        return RemoteRun(self._line, made["id"], is_new=made["is_new"])

    def get(self, run_id: str) -> RemoteRun:
        """The run with this id, or with an id that begins or ends with it. Raises RunNotFoundError."""
        return RemoteRun(self._line, self._line.get("runs", run_id)["id"])

    def runs(self, *, before: str | None = None, limit: int = 50, **chosen: Unpack[RunFilters]) -> list[RunInfo]:
        """The runs that match, as for `select`, the newest first. For the next page give the last id as `before`."""
        found = self._line.pages("runs", cursor="before", before=before, limit=limit, **as_query(chosen))
        return [from_record(RunInfo, each) for each in found]

    def select(self, **chosen: Unpack[RunFilters]) -> RemoteSelection:
        """The runs that match all of these filters, to pause, resume, cancel, retry or annotate them."""
        return RemoteSelection(self._line, chosen)

    def send(self, run_id: str, name: str, value: Any = None, *, key: str | None = None) -> Sent:
        """Send a message to a run."""
        return RemoteRun(self._line, run_id).send(name, value, key=key)

    def workers(self) -> list[WorkerInfo]:
        """The workers that have not ended."""
        return [from_record(WorkerInfo, each) for each in self._line.get("workers")]

    def definitions(self) -> list[DefinitionInfo]:
        """The tasks and workflows that live workers define."""
        return [from_record(DefinitionInfo, each) for each in self._line.get("definitions")]

    def call(self, method: str, path: str, **fields: Any) -> Any:
        """Any operation of the API, by its method and its path: its JSON. The fields are the query or the body.

        Example::

            remote.call("GET", "retention")
        """
        parts = [part for part in path.split("/") if part]
        return self._line.get(*parts, **fields) if method == "GET" else self._line.do(method, *parts, **fields)

    def close(self) -> None:
        """Close its connections."""
        self._line.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
