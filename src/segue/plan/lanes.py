"""Lanes: what the claim must know of a step with limits, as one short text.

Steps of a queue that need the same places and use the same turn stand in one lane, so the claim looks at lanes and not
at each of their steps. A lane's text is canonical: the same needs give the same text.

A lane that depends on results of other steps is *open*: it says how its keys are found, and is closed when the step is
about to become ready. Pure; nothing here knows a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec

from segue.errors import SerializationError
from segue.model import ENGINE_TASKS, RUN, Expr, Gather, Value
from segue.plan.codec import evaluate, steps_in
from segue.plan.graph import LimitUse, Node, Turns

MOST_USES = 5
LONGEST_LIMIT_BYTES = 100
LONGEST_KEY_BYTES = 100
"""Of a key as JSON; a longer one is shortened, and told from others by its digest."""

LONGEST_LANE_BYTES = 2000
"""So that an index of PostgreSQL can hold it, with its queue beside it."""

_OPEN = "?"
_encode = msgspec.json.Encoder(order="deterministic").encode


class Use(msgspec.Struct, frozen=True, array_like=True):
    """A place of a limit for one value of its key ('' where there is none)."""

    limit: str
    key: str
    cost: int


class Lane(msgspec.Struct, frozen=True, array_like=True):
    """What the steps of a lane have in common."""

    task: str
    cost: int
    uses: tuple[Use, ...]
    turn: str | None = None  # None: it takes its turn with all others that have no key
    weight: float = 1.0


class _OpenLane(msgspec.Struct, frozen=True, array_like=True):
    task: str
    cost: int
    uses: tuple[LimitUse, ...]
    turns: Turns | None


_decode_lane = msgspec.json.Decoder(Lane).decode
_decode_open = msgspec.json.Decoder(_OpenLane).decode


def lane_of(node: Node, inherited: str | None = None) -> str | None:
    """The lane of a step, None when it needs none.

    `inherited` is the lane of the step whose task returned the plan: its turn counts for a step that has none itself.
    """
    if node.task is None or node.task in ENGINE_TASKS:
        return None
    turns = node.turns
    if turns is None and inherited is not None:
        turns = _turns_of(inherited)
    if not node.uses and turns is None and node.cost == 1:
        return None
    lane = _OpenLane(node.task, node.cost, node.uses, turns)
    return _OPEN + _encode(lane).decode() if _needs(lane) else _closed(lane, {})


def is_open(lane: str | None) -> bool:
    """Whether a lane's keys are still to be found."""
    return lane is not None and lane.startswith(_OPEN)


def needed_steps(lane: str) -> set[int]:
    """The steps whose results close an open lane."""
    return _needs(_decode_open(lane[1:]))


def close(lane: str, values: Mapping[int, str]) -> str:
    """The text of an open lane, given results as JSON; raises `SerializationError` when a path leads nowhere."""
    return _closed(_decode_open(lane[1:]), values)


@lru_cache(maxsize=65_536)
def read_lane(text: str) -> Lane:
    """What a closed lane's text says."""
    return _decode_lane(text)


def limit_key(use: LimitUse) -> str:
    """The key of a run's place, which is known when the run starts; '' when it has none."""
    return "" if use.key is None else _key(use.key, {})


def lane_problem(node: Node) -> str | None:
    """What is wrong with the limits of a step; None when nothing is."""
    if node.cost < 1 or any(use.cost < 1 for use in node.uses):
        return "its cost is less than 1"
    if len(node.uses) > MOST_USES:
        return f"it uses {len(node.uses)} limits and may use {MOST_USES}"
    for use in node.uses:
        if not use.limit or (len(use.limit.encode()) > LONGEST_LIMIT_BYTES and ":" not in use.limit):
            return f"the name of its limit {use.limit!r} is empty or longer than {LONGEST_LIMIT_BYTES} bytes"
    if node.turns is not None and not 0 < node.turns.weight < float("inf"):
        return f"its weight is {node.turns.weight}"
    if any(RUN in steps_in(expr) for expr in keys_of(node)):
        return "the key of a limit, or of its turn, depends on the outcome of the run"
    longest = len(node.task or "") + sum(len(use.limit.encode()) + LONGEST_KEY_BYTES + 20 for use in node.uses) + 250
    if (node.uses or node.turns) and longest > LONGEST_LANE_BYTES:
        return f"the names of its task and limits are {longest - LONGEST_LANE_BYTES} bytes too long together"
    return None


def key_text(value: str) -> str:
    """A key's text, given its JSON: texts as they are, everything else as JSON."""
    found = msgspec.json.decode(value)
    return found if isinstance(found, str) else _encode(found).decode()


def bounded(key: str) -> str:
    """The key itself when it is short; otherwise its beginning and its digest."""
    if len(_encode(key)) <= LONGEST_KEY_BYTES and "\0" not in key:
        return key
    from hashlib import sha256  # noqa: PLC0415 - takes milliseconds, and few keys are so long

    digest = sha256(key.encode()).hexdigest()[:32]
    beginning = "".join(char for char in key[:40] if char.isprintable() and char not in '"\\').encode()[:40]
    return f"{beginning.decode(errors='ignore')}#{digest}"


def keys_of(node: Node) -> list[Expr]:
    """The keys of a step's limits and turn."""
    return list(_keys(node.uses, node.turns))


def _keys(uses: tuple[LimitUse, ...], turns: Turns | None) -> Iterator[Expr]:
    yield from (use.key for use in uses if use.key is not None)
    if turns is not None:
        yield turns.key


def _needs(lane: _OpenLane) -> set[int]:
    return {step for expr in _keys(lane.uses, lane.turns) for step in steps_in(expr)}


def _closed(lane: _OpenLane, values: Mapping[int, str]) -> str:
    uses = {
        (use.limit, "" if use.key is None else _key(use.key, values)): use.cost for use in lane.uses
    }  # a limit named twice with the same key is one use
    turns = lane.turns
    turn = None if turns is None else _key(turns.key, values)
    weight = 1.0 if turns is None or turn is None else turns.weights.get(turn, turns.weight)
    found = Lane(lane.task, lane.cost, tuple(Use(*use, cost) for use, cost in sorted(uses.items())), turn, weight)
    text = _encode(found).decode()
    if len(text.encode()) > LONGEST_LANE_BYTES:
        raise SerializationError(f"the limits of {lane.task} take {len(text)} bytes; give them shorter names")
    return text


def _key(expr: Expr, values: Mapping[int, str]) -> str:
    if isinstance(expr, Gather):
        return bounded("".join(key_text(evaluate(part, values)) for part in expr.items))
    if isinstance(expr, Value):
        return bounded(key_text(bytes(expr.json).decode()))
    return bounded(key_text(evaluate(expr, values)))


def _turns_of(lane: str) -> Turns | None:
    if is_open(lane):
        return _decode_open(lane[1:]).turns
    found = read_lane(lane)
    if found.turn is None:
        return None
    return Turns(Value(msgspec.Raw(_encode(found.turn))), found.weight)
