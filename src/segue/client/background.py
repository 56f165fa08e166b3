"""Orders for many runs that a worker carries out: `segue.select(...).in_background()`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from segue.authoring import to_plan
from segue.authoring.bulk import BULK, bulk
from segue.client.given import guarded
from segue.client.run import Run
from segue.engine.bulk import BulkOrder, id_after, is_named, narrowed
from segue.engine.engine import Engine
from segue.engine.views.select import FIRST_ID, RunFilter, ids_of, page_of_ids
from segue.errors import ConfigError, RunNotFoundError
from segue.masking import masked_text
from segue.payloads.moving import moved
from segue.plan.graph import RunTerms
from segue.plan.indexed import check_key
from segue.plan.labels import checked_tags, encoded_metadata, with_terms

MOST_IDS = 10_000  # that an order may name; more are selected by a filter


@guarded
class InBackground:
    """The verbs of a `Selection`, each of which starts a run of `segue.bulk`. Made by `selection.in_background()`.

    The result of the run is a dict: `verb`, `changed`, `unchanged` and `failed` (numbers of runs), `errors` (by run id,
    the first 100) and `unconfirmed`. The run itself succeeds even if the verb failed on some runs.

    Example::

        run = segue.select(tag="backfill").in_background(key="stop-backfill").pause(reason="the warehouse is down")
        for progress in run.follow():
            print(progress.status)
    """

    def __init__(self, engine: Engine, chosen: RunFilter, *, key: str | None, queue: str | None) -> None:
        self._engine = engine
        self._chosen = chosen
        self._key = key
        self._queue = queue

    def pause(
        self, *, stop_running: bool = False, actor: str | None = None, reason: str | None = None
    ) -> Run[dict[str, Any]]:
        """Start none of their steps from now on; with `stop_running`, running ones end and restart after `resume`."""
        return self._start("pause", {"stop_running": stop_running}, actor, reason)

    def resume(self, *, actor: str | None = None, reason: str | None = None) -> Run[dict[str, Any]]:
        """Continue those that are paused."""
        return self._start("resume", {}, actor, reason)

    def cancel(self, *, actor: str | None = None, reason: str | None = None) -> Run[dict[str, Any]]:
        """End them, as `Selection.cancel` does."""
        return self._start("cancel", {}, actor, reason)

    def retry(
        self, *, step: str | int | None = None, fresh: bool = False, actor: str | None = None, reason: str | None = None
    ) -> Run[dict[str, Any]]:
        """Run again what failed in them, as `Selection.retry` does; with `step`, that step and all below it.

        Each run is retried once, even if it fails again before this has ended.
        """
        return self._start("retry", {"fresh": fresh, **({} if step is None else {"step": step})}, actor, reason)

    def annotate(
        self, *, tags: Iterable[str] = (), without: Iterable[str] = (), metadata: Mapping[str, Any] | None = None,
        actor: str | None = None, reason: str | None = None,
    ) -> Run[dict[str, Any]]:  # fmt: skip
        """Add tags to them, remove those in `without`, and set keys of their metadata; None removes a key."""
        options = {
            "tags": [*checked_tags("annotate", list(tags))], "without": [*checked_tags("annotate", list(without))],
            "metadata": None if metadata is None else dict(metadata),
        }  # fmt: skip
        encoded_metadata("annotate", {name: each for name, each in (metadata or {}).items() if each is not None})
        return self._start("annotate", options, actor, reason)

    def _start(self, verb: str, options: dict[str, Any], actor: str | None, reason: str | None) -> Run[dict[str, Any]]:
        engine, reason = self._engine, masked_text(reason) if reason else None
        check_key("key", self._key, tells_apart="one order from another")
        engine.in_one_namespace("start a run")
        order = BulkOrder(verb=verb, chosen=self._until_now(verb), options=options, actor=actor, reason=reason)
        step = bulk.s(order=msgspec.to_builtins(order)).options(name=verb)
        step = step if self._queue is None else step.options(queue=self._queue)
        said = {"verb": verb, **({"actor": actor} if actor else {}), **({"reason": reason} if reason else {})}
        plan = with_terms(to_plan(step), RunTerms(metadata=encoded_metadata("start", said)))
        plan = moved(msgspec.structs.replace(plan, name=BULK), engine.payloads, engine.payload_executors)
        begun: set[str] = set()
        [id_] = engine.start([(plan, self._key)], begun=begun)
        return Run(engine, id_, is_new=id_ in begun)

    def _until_now(self, verb: str) -> RunFilter:
        """The filter, for the runs that exist now. Raises RunNotFoundError for ids that do not exist."""
        chosen = self._chosen
        if chosen.ids is not None:
            self._check_ids(chosen)
        if is_named(chosen):
            return chosen
        with self._engine.reading() as tx:
            newest = page_of_ids(tx, narrowed(verb, chosen), limit=1)
        before = id_after(newest[0]) if newest else FIRST_ID
        return msgspec.structs.replace(chosen, before=min(before, chosen.before))

    def _check_ids(self, chosen: RunFilter) -> None:
        if len(chosen.ids or ()) > MOST_IDS:
            raise ConfigError(
                f"{len(chosen.ids or ()):,} ids were given, and an order may name {MOST_IDS:,}. Select the runs by a "
                "filter, for example by a tag."
            )
        found = set(ids_of(self._engine, RunFilter(ids=chosen.ids, prefix=chosen.prefix)))
        missing = sorted(set(chosen.ids or ()) - found)
        if missing:
            raise RunNotFoundError(f"No run has the id {missing[0]}; {len(missing):,} of the given ids are unknown.")
