"""Ids that ascend, waits that grow, and reasons that are put together."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from segue.engine.backoff import delay_seconds, longer_wait
from segue.engine.ids import Ids, first_id_at
from segue.engine.views.explain import _merged
from segue.engine.views.reason import Reason
from segue.model import Policy

NOW = datetime(2026, 11, 20, 12, 30, 0, 123456, tzinfo=UTC)


def test_an_id_is_a_uuid_of_version_7_with_its_time() -> None:
    new_id = Ids().new
    found = uuid.UUID(new_id(NOW))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == int(NOW.timestamp() * 1000)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", new_id(NOW))


def test_ids_ascend_though_the_clock_stands_still_or_goes_back() -> None:
    new_id = Ids().new
    made = [new_id(NOW) for _ in range(10_000)] + [new_id(NOW - timedelta(hours=1)) for _ in range(10)]
    assert made == sorted(set(made))


def test_ids_of_several_threads_are_all_different() -> None:
    new_id = Ids().new
    with ThreadPoolExecutor(8) as threads:
        made = [id_ for ids_ in threads.map(lambda _: [new_id(NOW) for _ in range(500)], range(8)) for id_ in ids_]
    assert len(set(made)) == 4000


def test_the_first_id_of_a_moment_stands_between_before_and_after() -> None:
    new_id = Ids().new
    before = new_id(NOW - timedelta(milliseconds=1))
    assert before < first_id_at(NOW) <= new_id(NOW)


@pytest.mark.parametrize("failures, seconds", [(1, 1.0), (2, 2.0), (3, 4.0), (10, 512.0), (11, 600.0), (5000, 600.0)])
def test_waits_double_up_to_the_longest(failures: int, seconds: float) -> None:
    assert delay_seconds(Policy(retry_jitter=0.0), failures, seed="s") == seconds


def test_waits_are_as_the_policy_says() -> None:
    policy = Policy(retry_delay=10.0, retry_factor=3.0, retry_max_delay=50.0, retry_jitter=0.0)
    assert [delay_seconds(policy, number, seed="") for number in (1, 2, 3)] == [10.0, 30.0, 50.0]
    assert delay_seconds(Policy(retry_delay=0.0), 3, seed="s") == 0.0


def test_jitter_shortens_by_no_more_than_it_says_and_spreads() -> None:
    waits = [
        delay_seconds(Policy(retry_delay=100.0, retry_jitter=0.5), 1, seed=f"run:{number}") for number in range(500)
    ]
    assert all(50.0 <= wait <= 100.0 for wait in waits)
    assert len({round(wait) for wait in waits}) > 40


def test_the_same_step_waits_the_same_time_again() -> None:
    assert delay_seconds(Policy(), 2, seed="r:1") == delay_seconds(Policy(), 2, seed="r:1")
    assert delay_seconds(Policy(), 2, seed="r:1") != delay_seconds(Policy(), 2, seed="r:2")


def test_reasons_of_one_kind_are_one_line() -> None:
    waits = [Reason("waiting_for_place", f"s{number}", f"has been ready for {number} s") for number in range(3)]
    [merged] = _merged(waits)
    assert str(merged) == "s0 (3 such steps): has been ready for 0 s"


def test_reasons_that_differ_are_kept_apart() -> None:
    queues = [Reason("no_worker_on_queue", "a", "no worker on x"), Reason("no_worker_on_queue", "b", "no worker on y")]
    assert _merged(queues) == queues
    running = [Reason("running", "a", "runs on w"), Reason("running", "b", "runs on w")]
    assert _merged(running) == running


def test_a_loop_waits_twice_as_long_each_time_up_to_the_longest() -> None:
    waits = [0.0]
    for _ in range(6):
        waits.append(longer_wait(waits[-1], first_seconds=0.1, longest_seconds=1.0))
    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_ids_follow_a_clock_that_was_far_ahead() -> None:
    ids, now = Ids(), datetime(2026, 1, 1, tzinfo=UTC)
    far = ids.new(now + timedelta(days=3000))
    near = [ids.new(now), ids.new(now), ids.new(now - timedelta(minutes=50))]
    assert near == sorted(near)
    assert first_id_at(now) <= near[0] < near[-1] < first_id_at(now + timedelta(seconds=1)) < far
