"""Sharing places: queues, priorities, turns, limits; pure, so every rule is looked at by itself."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from segue.engine.claiming.allocate import Allocation, Source, Tags, allocate
from segue.engine.limiting.places import Places
from segue.plan.graph import LimitTerms
from segue.plan.lanes import Use

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def lane(
    name: str, *uses: Use, share: str = "", priority: int = 5, at: int = 0, weight: float = 1.0, cost: int = 1,
    queue: str = "q", starved: bool = False,
) -> Source:  # fmt: skip
    return Source(queue, name, ("t",), cost, uses, share, weight, [(priority, at)], has_starved=starved)


def plain(*heads: tuple[int, int], queue: str = "q", uses: tuple[Use, ...] = ()) -> Source:
    return Source(queue, None, ("t",), 1, uses, "", 1.0, list(heads))


def share(
    want: int, *queues: list[Source], limits: dict[str, LimitTerms] | None = None, taken: int = 0,
    served: dict[tuple[str, str], float] | None = None, floors: dict[str, float] | None = None, plain_next: bool = True,
) -> Allocation:  # fmt: skip
    places = Places(limits or {}, {("api", ""): taken}, {}, NOW)
    return allocate(queues, want, places, Tags(dict(served or {}), floors or {}), plain_next=plain_next)


def given(allocation: Allocation) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for grant in allocation.grants:
        counts[grant.source.lane or "plain"] += grant.count
    return dict(counts)


API = Use("api", "", 1)


def limit(concurrency: int) -> dict[str, LimitTerms]:
    return {"api": LimitTerms("api", concurrency)}


def test_earlier_queues_go_first() -> None:
    first, second = [lane("a", API)], [lane("b", queue="r"), plain((5, 0), queue="r")]
    assert given(share(4, first, second)) == {"a": 4}
    assert given(share(4, first, second, limits=limit(1))) == {"a": 1, "plain": 1, "b": 2}


def test_higher_priorities_go_first() -> None:
    sources = [lane("low", priority=1), lane("high", API, priority=9), plain((5, 0), (5, 1))]
    assert given(share(4, sources, limits=limit(1))) == {"high": 1, "plain": 2, "low": 1}


def test_plain_steps_and_lanes_take_turns() -> None:
    sources = [lane("a"), lane("b", share="x"), plain(*[(5, number) for number in range(9)])]
    assert given(share(4, sources)) == {"plain": 2, "a": 1, "b": 1}
    first = share(1, sources)
    assert (given(first), first.plain_next) == ({"plain": 1}, False)
    second = share(1, sources, plain_next=False)
    assert ("plain" not in given(second), second.plain_next) == (True, True)


def test_keys_take_turns_by_what_they_had() -> None:
    sources = [lane("a", share="a"), lane("b", share="b")]
    assert given(share(6, sources, served={("q", "a"): 4.0})) == {"a": 1, "b": 5}
    assert given(share(6, sources, served={("q", "a"): 4.0}, floors={"q": 4.0})) == {"a": 3, "b": 3}


def test_weights_and_costs_count() -> None:
    assert given(share(8, [lane("a", share="a", weight=3), lane("b", share="b")])) == {"a": 6, "b": 2}
    assert given(share(8, [lane("a", share="a", cost=3), lane("b", share="b")])) == {"a": 2, "b": 6}


def test_lanes_of_one_key_share_its_turns() -> None:
    assert given(share(8, [lane("a1", share="a"), lane("a2", share="a"), lane("b", share="b")])) == {
        "a1": 2, "a2": 2, "b": 4
    }  # fmt: skip


def test_of_one_key_the_oldest_goes_first() -> None:
    assert given(share(1, [lane("new", at=2), lane("old", at=1)])) == {"old": 1}


def test_what_a_limit_holds_back_holds_nothing_else_up() -> None:
    sources = [lane("a", API, priority=9), lane("b", API), lane("c", share="c")]
    result = share(9, sources, limits=limit(2))
    assert (given(result), result.is_short) == ({"a": 2, "c": 7}, True)


def test_it_is_short_only_when_more_could_run() -> None:
    assert not share(2, [lane("a", API)], limits=limit(2)).is_short
    assert share(2, [lane("a", API)], limits=limit(3)).is_short
    assert not share(2, [plain((5, 0), (5, 1))]).is_short


def test_places_are_kept_for_one_that_starves_for_its_cost() -> None:
    large = lane("large", Use("api", "", 3), starved=True)
    assert given(share(5, [large, lane("small", API)], limits=limit(3), taken=1)) == {}
    assert given(share(5, [large, lane("small", API)], limits=limit(3), taken=0)) == {"large": 1}
    other = Use("other", "", 1)
    blocked = lane("large", Use("api", "", 3), other, starved=True)
    closed = limit(3) | {"other": LimitTerms("other", 0)}
    assert given(share(5, [blocked, lane("small", API)], limits=closed, taken=1)) == {"small": 2}


def test_plain_steps_may_be_limited_too() -> None:
    sources = [plain((5, 0), (5, 1), (5, 2), uses=(API,)), plain((4, 0))]
    assert [(grant.count, grant.priority) for grant in share(9, sources, limits=limit(2)).grants] == [(2, 5), (1, 4)]
