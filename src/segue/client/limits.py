"""`segue.limits`: how many may run at once, how often they may start, and who gets how much of a queue."""

from __future__ import annotations

import builtins
from functools import partial

from segue.authoring.limits import Rate, rate_of
from segue.engine import limits
from segue.engine.engine import Engine
from segue.engine.limits import LimitInfo, TurnInfo
from segue.errors import ConfigError, DefinitionError
from segue.model import DEFAULT_QUEUE
from segue.plan.graph import LimitTerms


class Limits:
    """The limits of a database. What is set here wins over the code, and counts within about a second.

    Names: `task:NAME` and `queue:NAME` bind every step of that task or queue, `workflow:NAME` the runs of a workflow
    whose code has a `concurrency`; a name without a colon is that of a `Limit` which tasks name.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def set(
        self, name: str, *, concurrency: int | None = None, rate: Rate | None = None, burst: float | None = None
    ) -> None:
        """Say how large a limit is: places that may be taken at once, starts in a period ("100/min"), or both.

        0 places let nothing start. What runs already is left alone. Raises ConfigError. Example::

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
        self._engine.act(partial(limits.set_limit, terms=terms))

    def list(self) -> list[LimitInfo]:
        """Every limit, with how many places are taken, and how many steps or runs wait."""
        with self._engine.reading() as tx:
            return limits.list_limits(tx)

    def remove(self, name: str) -> bool:
        """Take a limit away; False when there is none.

        What the code says of it counts again when a worker or a run that names it starts.
        """
        return self._engine.act(partial(limits.remove_limit, name=name))

    def weight(self, key: str, weight: float | None, *, queue: str = DEFAULT_QUEUE) -> None:
        """Give a key (of `fair_by`) so much of a queue beside others, which have 1; None: what the code says.

        Example::

            segue.limits.weight("gold", 3, queue="net")
        """
        self._engine.act(partial(limits.set_weight, queue=queue, key=key, weight=weight))

    def turns(self) -> builtins.list[TurnInfo]:
        """The keys that share queues, with the weights that were set; those not served for an hour are forgotten."""
        with self._engine.reading() as tx:
            return limits.list_turns(tx)
