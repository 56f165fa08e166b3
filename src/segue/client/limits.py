"""`segue.limits`: how many may run at the same time, how often they may start, and how keys share a queue."""

from __future__ import annotations

import builtins

from segue.authoring.limits import Rate, rate_of
from segue.client.given import guarded
from segue.engine.engine import Engine
from segue.engine.limiting import limits
from segue.engine.limiting.limits import LimitInfo, ShareInfo
from segue.errors import ConfigError, DefinitionError
from segue.model import DEFAULT_QUEUE
from segue.plan.graph import LimitTerms


@guarded
class Limits:
    """The limits of a database. A limit set here overrides the code, and takes effect within about a second.

    Names: `task:NAME` and `queue:NAME` limit every step of that task or queue. `workflow:NAME` limits the runs of a
    workflow whose code sets a `concurrency`. A name without a colon is a `Limit` that tasks refer to by name.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def set(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        rate: Rate | None = None,
        burst: float | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Set the size of a limit: the steps or runs at the same time, the starts in a period ("100/min"), or both.

        With 0 places nothing new starts. Steps that run already continue. `actor` and `reason` are recorded, as by all
        methods that change something. Raises ConfigError. Example::

            segue.limits.set("queue:net", concurrency=10)
            segue.limits.set("mail", rate="100/min", burst=20)
        """
        starts, seconds = None, 1.0
        if rate is not None:
            try:
                starts, seconds = rate_of(f"The limit {name!r}", rate)
            except DefinitionError as error:
                raise ConfigError(str(error)) from None
        terms = LimitTerms(name, concurrency, starts, seconds, burst)
        self._engine.act(limits.set_limit, terms=terms, namespace=self._engine.namespace, actor=actor, reason=reason)

    def list(self) -> list[LimitInfo]:
        """Every limit, with the number of places taken, and the number of steps or runs that wait."""
        with self._engine.reading() as tx:
            return limits.list_limits(tx, prefix=self._engine.prefix)

    def remove(self, name: str, *, actor: str | None = None, reason: str | None = None) -> bool:
        """Remove a limit; False if it does not exist.

        The value in the code applies again when a worker or a run that uses the limit starts.
        """
        return self._engine.act(
            limits.remove_limit, name=name, namespace=self._engine.namespace, actor=actor, reason=reason
        )

    def weight(
        self,
        key: str,
        weight: float | None,
        *,
        queue: str = DEFAULT_QUEUE,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Set the weight of a key (of `fair_by`) in a queue. Other keys have weight 1. None restores the weight in the
        code.

        Example::

            segue.limits.weight("gold", 3, queue="net")
        """
        self._engine.act(
            limits.set_weight, queue=queue, key=key, weight=weight, namespace=self._engine.namespace, actor=actor,
            reason=reason,
        )  # fmt: skip

    def shares(self) -> builtins.list[ShareInfo]:
        """The keys that share queues, with the weights that were set. A key not served for an hour is forgotten."""
        with self._engine.reading() as tx:
            return limits.list_shares(tx, prefix=self._engine.prefix)
