"""Lanes: what a claim must know about a step with limits, as one short text.

Steps of a queue that need the same places and use the same fair share are in one lane, so a claim reads lanes and not
each of their steps. A lane's text is canonical: equal needs give equal text.

A lane that depends on results of other steps is *open*: it describes how to find its keys, and is closed when the step
is about to become ready. Pure: uses no database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeGuard

import msgspec

from segue.errors import SerializationError
from segue.given import shown
from segue.model import ENGINE_TASKS, RUN, Expr, Gather, Hole, Value
from segue.plan.codec import UNREADABLE, evaluate, steps_in, unreadable
from segue.plan.graph import FairShare, KeySource, LimitUse, Node
from segue.plan.indexed import text_problem
from segue.plan.key_sources import key_from, key_text

MOST_USES = 5
LONGEST_LIMIT_BYTES = 100
LONGEST_KEY_BYTES = 100
"""The maximum for a key as JSON; a longer key is shortened, with a digest to distinguish it."""

LONGEST_LANE_BYTES = 2200
"""Short enough for an index of PostgreSQL that also holds the queue."""

_OPEN = "?"
_encode = msgspec.json.Encoder(order="deterministic").encode


class Use(msgspec.Struct, frozen=True, array_like=True):
    """A place of a limit for one value of its key ('' if it has none)."""

    limit: str
    key: str
    cost: int


class Lane(msgspec.Struct, frozen=True, array_like=True):
    """What the steps of a lane have in common."""

    task: str
    cost: int
    uses: tuple[Use, ...]
    share: str | None = None  # None: it shares with all other steps that have no key
    weight: float = 1.0
    sources: tuple[tuple[KeySource, ...], ...] = ()  # of the key of each use, then of the share; empty: none has any


class _OpenLane(msgspec.Struct, frozen=True, array_like=True):
    task: str
    cost: int
    uses: tuple[LimitUse, ...]
    share: FairShare | None


_decode_lane = msgspec.json.Decoder(Lane).decode
_decode_open = msgspec.json.Decoder(_OpenLane).decode


def lane_of(node: Node, inherited: str | None = None) -> str | None:
    """The lane of a step; None if it needs none.

    `inherited` is the lane of the step whose task returned the plan: its share counts for a step that has none itself.
    """
    if node.task is None or node.task in ENGINE_TASKS:
        return None
    share = node.share
    if share is None and inherited is not None:
        share = _share_of(inherited)
    if not node.uses and share is None and node.cost == 1:
        return None
    lane = _OpenLane(node.task, node.cost, node.uses, share)
    return _OPEN + _encode(lane).decode() if _needs(lane) else _closed(lane, {})


def is_open(lane: str | None) -> TypeGuard[str]:
    """Whether a lane's keys have yet to be found."""
    return lane is not None and lane.startswith(_OPEN)


def needed_steps(lane: str) -> set[int]:
    """The steps whose results close an open lane."""
    return _needs(_opened(lane))


def close(lane: str, values: Mapping[int, str]) -> str:
    """Close an open lane, given results as JSON. Raises `SerializationError` if a path does not exist in a result."""
    return _closed(_opened(lane), values)


@lru_cache(maxsize=65_536)
def read_lane(text: str) -> Lane:
    """Read the text of a closed lane. Raises `SerializationError` for any other text."""
    try:
        return _decode_lane(text)
    except UNREADABLE as error:
        raise unreadable("which limits a step needs", text, error) from None


def limit_key(use: LimitUse) -> str:
    """The key of a run's place, known when the run starts; '' if it has none."""
    return "" if use.key is None else _key(use.key, {})


def lane_problem(node: Node) -> str | None:
    """The mistake in a step's limits; None if there is none."""
    if node.cost < 1 or any(use.cost < 1 for use in node.uses):
        return "its cost is less than 1"
    if len(node.uses) > MOST_USES:
        return f"it uses {len(node.uses)} limits; the maximum is {MOST_USES}"
    for use in node.uses:
        wrong = text_problem(use.limit, LONGEST_LANE_BYTES if ":" in use.limit else LONGEST_LIMIT_BYTES)
        if wrong is not None:
            return f"the name of its limit {shown(use.limit)} {wrong}"
    if node.share is not None and not 0 < node.share.weight < float("inf"):
        return f"its weight is {node.share.weight}"
    if any(RUN in steps_in(expr) for expr in keys_of(node)):
        return "the key of a limit or of its fair share depends on the outcome of the run"
    keys = [source for source in (*(use.source for use in node.uses), node.share and node.share.source) if source]
    longest = len((node.task or "").encode()) + 250 + (len(_encode(keys)) if keys else 0)
    longest += sum(len(use.limit.encode()) + LONGEST_KEY_BYTES + 20 for use in node.uses)
    if (node.uses or node.share) and longest > LONGEST_LANE_BYTES:
        return f"the names of its task and limits together are {longest - LONGEST_LANE_BYTES} bytes too long"
    return None


def bounded(key: str) -> str:
    """The key itself if it is short; otherwise its beginning and its digest."""
    if len(_encode(key)) <= LONGEST_KEY_BYTES and "\0" not in key:
        return key
    from hashlib import sha256  # noqa: PLC0415 - takes milliseconds, and few keys are so long

    digest = sha256(key.encode()).hexdigest()[:32]
    beginning = "".join(char for char in key[:40] if char.isprintable() and char not in '"\\').encode()[:40]
    return f"{beginning.decode(errors='ignore')}#{digest}"


def keys_of(node: Node) -> list[Expr]:
    """The keys of a step's limits and share."""
    return list(_keys(node.uses, node.share))


def _keys(uses: tuple[LimitUse, ...], share: FairShare | None) -> Iterator[Expr]:
    yield from (use.key for use in uses if use.key is not None)
    if share is not None:
        yield share.key


def _opened(lane: str) -> _OpenLane:
    try:
        return _decode_open(lane[1:])
    except UNREADABLE as error:
        raise unreadable("how the keys of a step's limits are found", lane, error) from None


def _needs(lane: _OpenLane) -> set[int]:
    return {step for expr in _keys(lane.uses, lane.share) for step in steps_in(expr)}


def _closed(lane: _OpenLane, values: Mapping[int, str]) -> str:
    costs: dict[tuple[str, str], int] = {}  # a limit used twice with the same key is one use
    sources: dict[tuple[str, str], tuple[KeySource, ...]] = {}
    for use in lane.uses:
        limit_key = (use.limit, "" if use.key is None else _key(use.key, values))
        costs[limit_key] = use.cost
        sources[limit_key] = sources.get(limit_key, ()) + (() if use.source is None else (use.source,))
    share = lane.share
    turn = None if share is None else _key(share.key, values)
    weight = 1.0 if share is None or turn is None else share.weights.get(turn, share.weight)
    found = Lane(
        lane.task, lane.cost, tuple(Use(*limit_key, costs[limit_key]) for limit_key in sorted(costs)), turn, weight
    )
    of_share = () if share is None or share.source is None else (share.source,)
    text = _lane_text(found, (*(sources[limit_key] for limit_key in sorted(costs)), of_share))
    if len(text.encode()) > LONGEST_LANE_BYTES:
        raise SerializationError(f"the limits of {lane.task} take {len(text)} bytes; give them shorter names")
    return text


def _lane_text(lane: Lane, sources: tuple[tuple[KeySource, ...], ...]) -> str:
    plain = (lane.task, lane.cost, lane.uses, lane.share, lane.weight)
    return _encode((*plain, sources) if any(sources) else plain).decode()


def with_arguments(lane: str, args: str, holes: tuple[Hole, ...]) -> str:
    """The lane of the same step with other arguments; an open lane stays open.

    Keys that do not come from its arguments stay. Raises `SerializationError` if an argument that a key comes from is
    gone.
    """
    if is_open(lane):
        found = _opened(lane)
        uses = tuple(_moved(use, args, holes) for use in found.uses)
        share = None if found.share is None else _share_with(found.share, args, holes)
        return _OPEN + _encode(msgspec.structs.replace(found, uses=uses, share=share)).decode()
    closed = read_lane(lane)
    if not closed.sources:
        return lane
    opened = _OpenLane(closed.task, closed.cost, tuple(_reopened(closed)), _share_of(lane))
    if opened.share is not None and closed.sources[-1]:
        share = msgspec.structs.replace(opened.share, source=closed.sources[-1][0])
        opened = msgspec.structs.replace(opened, share=share)
    uses = tuple(_moved(use, args, holes) for use in opened.uses)
    turned = None if opened.share is None else _share_with(opened.share, args, holes)
    if turned is not None and _key(turned.key, {}) != closed.share:
        turned = msgspec.structs.replace(turned, weight=1.0)  # the weight belonged to the other key
    return _closed(msgspec.structs.replace(opened, uses=uses, share=turned), {})


def with_keys(node: Node) -> Node:
    """The node with the keys for its current arguments; raises `SerializationError` as `with_arguments` does."""
    uses = tuple(_moved(use, node.args, node.holes) for use in node.uses)
    share = None if node.share is None else _share_with(node.share, node.args, node.holes)
    return msgspec.structs.replace(node, uses=uses, share=share)


def _reopened(lane: Lane) -> Iterator[LimitUse]:
    """The uses of a closed lane, one for each source of a key, as when it was open."""
    for use, sources in zip(lane.uses, lane.sources, strict=False):
        key = Value(msgspec.Raw(_encode(use.key))) if use.key else None
        for source in sources or (None,):
            yield LimitUse(use.limit, key, use.cost, source)


def _moved(use: LimitUse, args: str, holes: tuple[Hole, ...]) -> LimitUse:
    return use if use.source is None else msgspec.structs.replace(use, key=key_from(use.source, args, holes))


def _share_with(share: FairShare, args: str, holes: tuple[Hole, ...]) -> FairShare:
    if share.source is None:
        return share
    return msgspec.structs.replace(share, key=key_from(share.source, args, holes))


def _key(expr: Expr, values: Mapping[int, str]) -> str:
    if isinstance(expr, Gather):
        return bounded("".join(key_text(evaluate(part, values)) for part in expr.items))
    if isinstance(expr, Value):
        return bounded(key_text(bytes(expr.json).decode()))
    return bounded(key_text(evaluate(expr, values)))


def _share_of(lane: str) -> FairShare | None:
    if is_open(lane):
        share = _opened(lane).share
        return None if share is None else msgspec.structs.replace(share, source=None)
    found = read_lane(lane)
    if found.share is None:
        return None
    return FairShare(Value(msgspec.Raw(_encode(found.share))), found.weight)
