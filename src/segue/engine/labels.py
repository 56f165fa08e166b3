"""Tags and metadata of runs and steps in the database: written with the plan, changed later, found by search.

The columns of the run and its steps store them unchanged; `segue_labels` has a row for each tag and each plain value,
and searches use these rows. Invariant: the labels of a run equal those in its columns and in its steps' columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from segue.engine.act import Act
from segue.engine.locking import lock_run
from segue.engine.verbs import Done
from segue.errors import ConfigError, StepNotFoundError
from segue.model import RUN
from segue.plan.graph import Plan
from segue.plan.labels import checked_tags, decoded_metadata, encoded_metadata, labels_of
from segue.store.protocol import Row, Transaction


def put_labels(tx: Transaction, rows: Sequence[Row]) -> None:
    """Write rows of `labels_of_plan` and the like; existing rows stay."""
    if rows:
        tx.each("put_labels", rows)


def labels_of_plan(plan: Plan, *, run_id: str, base: int | None = None) -> list[Row]:
    """The labels of a new run with this plan; with `base`, of steps that a task added, the first of which has it."""
    terms = plan.terms if base is None else None
    rows: list[Row] = []
    if terms is not None and (terms.tags or terms.metadata):
        rows += _rows(run_id, RUN, terms.tags, terms.metadata)
    for number, node in enumerate(plan.nodes, base or 0):
        if node.metadata is not None:
            rows += _rows(run_id, number, (), node.metadata)
    return rows


def annotate(
    act: Act,
    run_id: str,
    *,
    tags: Iterable[str] = (),
    without: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    step: str | int | None = None,
) -> None:
    """Add tags to a run and remove those in `without`; set keys of its metadata, or of a step's; None removes a key.

    Raises RunNotFoundError, StepNotFoundError, and ConfigError for invalid tags or metadata.
    """
    if step is not None:
        lock_run(act.tx, run_id)
        if tags or without:
            raise ConfigError("annotate: a step has metadata, but no tags; leave out step= or tags=")
        _annotate_step(act.tx, run_id, step, metadata or {})
        return
    label_run(act, run_id, tags=tags, without=without, metadata=metadata)


def label_run(
    act: Act,
    run_id: str,
    *,
    tags: Iterable[str] = (),
    without: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Done:
    """The same for a run, as a verb."""
    status = lock_run(act.tx, run_id).status
    added, gone = checked_tags("annotate", tags), checked_tags("annotate", without)
    old_tags, old_metadata = act.tx.all("run_labels", run_id=run_id)[0]
    kept: list[str] = msgspec.json.decode(old_tags) if old_tags else []
    new_tags = checked_tags("annotate", [tag for tag in (*kept, *added) if tag not in gone])
    text = _changed("annotate", old_metadata, metadata or {})
    if list(new_tags) == kept and text == _changed("annotate", old_metadata, {}):
        return Done(status, False)
    act.tx.later("set_run_labels", run_id=run_id, tags=encode_tags(new_tags), metadata=text)
    _replace(act.tx, run_id, RUN, _rows(run_id, RUN, new_tags, text))
    return Done(status, True)


def encode_tags(tags: Iterable[str]) -> str | None:
    """Tags in the format of the run's column."""
    found = list(tags)
    return msgspec.json.encode(found).decode() if found else None


def _annotate_step(tx: Transaction, run_id: str, step: str | int, changes: Mapping[str, Any]) -> None:
    by_name, by_number = (step, None) if isinstance(step, str) else (None, step)
    rows = tx.all("step_labels", run_id=run_id, name=by_name, step=by_number)
    if not rows:
        raise StepNotFoundError(f"Run {run_id} has no step {step!r}. `segue show {run_id} --all` lists them.")
    for number, old in rows:
        text = _changed("annotate", old, changes)
        tx.later("set_step_labels", run_id=run_id, step=number, metadata=text)
        _replace(tx, run_id, number, _rows(run_id, number, (), text))


def _changed(of: str, before: str | None, changes: Mapping[str, Any]) -> str | None:
    if not isinstance(changes, Mapping):
        raise ConfigError(f"{of}: metadata={changes!r} is not a dict; write metadata={{'customer': 42}}")
    merged = decoded_metadata(before) | dict(changes)
    return encoded_metadata(of, {key: value for key, value in merged.items() if value is not None})


def _replace(tx: Transaction, run_id: str, step: int, rows: Sequence[Row]) -> None:
    tx.later("drop_labels", run_id=run_id, step=step)
    put_labels(tx, rows)


def _rows(run_id: str, step: int, tags: Iterable[str], metadata: str | None) -> list[Row]:
    return list(_each(run_id, step, tags, metadata))


def _each(run_id: str, step: int, tags: Iterable[str], metadata: str | None) -> Iterator[Row]:
    for name, value in labels_of(tags, metadata):
        yield name, value, run_id, step
