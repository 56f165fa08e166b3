"""A verb for many runs: which runs it is for, and how it is applied to one after another.

An *order* names the verb and the runs. It is plain data, so it can be stored: the task `segue.bulk` carries out orders,
see `segue.attempt.bulk`. Promise: the verb is applied to each run in a separate transaction, and applying it again does
no harm; a retry is done once for each seed, even if the retried steps have failed again meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec

from segue.engine.act import Act
from segue.engine.acts import Acts
from segue.engine.control import cancel_run, pause_run, resume_run
from segue.engine.labels import label_run
from segue.engine.reopening.retry import retry_from, retry_run
from segue.engine.verbs import LIVE, Done, Verb, say_to
from segue.engine.views.select import RunFilter
from segue.errors import DefinitionError, SegueError, StoreError
from segue.model import RunStatus

RETRIED = (RunStatus.FAILED,)
"""The statuses of the runs that `retry` selects by default. A cancelled run was cancelled on purpose."""

EVERY = tuple(RunStatus)
AMONG = {"pause": LIVE, "resume": (RunStatus.PAUSED,), "cancel": LIVE, "retry": RETRIED, "annotate": EVERY}
"""The verbs for many runs, and the statuses of the runs that each of them selects."""


class BulkOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done to which runs."""

    verb: str  # a key of AMONG
    chosen: RunFilter
    options: dict[str, Any] = {}  # of the verb: `stop_running`, `fresh`, `step`, `tags`, `without`, `metadata`
    actor: str | None = None
    reason: str | None = None


def narrowed(verb: str, chosen: RunFilter) -> RunFilter:
    """The filter for a verb: only runs with a status that it selects. Runs that were named by ids are all included.

    Raises DefinitionError for an unknown verb.
    """
    if verb not in AMONG:
        raise DefinitionError(f"{verb!r} is not a verb for many runs. Choose from: {', '.join(sorted(AMONG))}.")
    statuses = EVERY if verb == "retry" and chosen.statuses is not None else AMONG[verb]
    return with_statuses(chosen, tuple(status.value for status in statuses))


def with_statuses(chosen: RunFilter, statuses: tuple[str, ...]) -> RunFilter:
    """The filter for those of the runs that also have one of these statuses."""
    if is_named(chosen):
        return chosen
    if chosen.statuses is not None:
        statuses = tuple(status for status in statuses if status in chosen.statuses)
    return msgspec.structs.replace(chosen, statuses=statuses)


def is_named(chosen: RunFilter) -> bool:
    """Whether the filter consists of ids only: then an unknown id is an error instead of a gap."""
    return chosen.ids is not None and chosen == RunFilter(ids=chosen.ids, prefix=chosen.prefix)


def id_after(run_id: str) -> str:
    """The id that follows: a filter with it as `before` includes this run, and no run that is newer."""
    return str(UUID(int=min(UUID(run_id).int + 1, 2**128 - 1)))


def verb_of(order: BulkOrder, *, seed: str) -> Verb:
    """The verb of an order. What is done under the same seed, an id, is done to each run once."""
    told: dict[str, Any] = {"actor": order.actor, "reason": order.reason}
    match order.verb:
        case "pause":
            return partial(pause_run, **order.options, **told)
        case "resume":
            return partial(resume_run, **order.options, **told)
        case "cancel":
            return partial(cancel_run, **order.options, **told)
        case "annotate":
            return partial(label_run, **order.options)
        case "retry":
            return partial(_retry, seed, order.options | told)
    raise DefinitionError(f"{order.verb!r} is not a verb for many runs. Choose from: {', '.join(sorted(AMONG))}.")


def say_to_each(engine: Acts, verb: Verb, run_ids: Iterable[str]) -> Iterator[tuple[str, Done | SegueError]]:
    """Apply a verb to one run after another. Yields each id, and what came of it, an error included.

    An error of the database is raised: what was done until then stays.
    """
    for run_id in run_ids:
        came: Done | SegueError
        try:
            came = say_to(engine, verb, run_id)
        except StoreError:
            raise
        except SegueError as error:
            came = error
        yield run_id, came


def _retry(seed: str, options: dict[str, Any], act: Act, run_id: str) -> Done:
    act_id = _id_within(seed, run_id)
    if options.get("step") is not None:
        return retry_from(act, run_id, act_id=act_id, **options)
    return retry_run(act, run_id, act_id=act_id, **{name: each for name, each in options.items() if name != "step"})


def _id_within(seed: str, run_id: str) -> str:
    """An id that is the same each time, with the time of the seed, so that events stay in the order of time."""
    digest = blake2b(f"{seed} {run_id}".encode(), digest_size=8).digest()
    return str(UUID(bytes=UUID(seed).bytes[:8] + bytes([digest[0] & 0x3F | 0x80]) + digest[1:]))
