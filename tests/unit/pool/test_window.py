"""The window: one job ahead of long tasks, many ahead of short ones."""

from __future__ import annotations

from segue.worker.pool.window import LARGEST_WINDOW, Window


def test_it_starts_with_one_and_at_most_doubles() -> None:
    window = Window()
    sizes = [window.size]
    for _ in range(9):
        window.learn(0.0001, 1)
        sizes.append(window.size)
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 128, 128, 128]
    assert sizes[-1] == LARGEST_WINDOW


def test_long_tasks_keep_it_at_one() -> None:
    window = Window()
    for _ in range(20):
        window.learn(1.0, 1)
    assert window.size == 1


def test_middling_tasks_get_twenty_milliseconds_of_work() -> None:
    window = Window()
    for _ in range(50):
        window.learn(0.004 * 3, 3)
    assert window.size == 5


def test_one_long_task_shrinks_it_at_once_and_short_ones_make_it_recover() -> None:
    window = Window()
    for _ in range(20):
        window.learn(0.0001 * 100, 100)
    window.learn(2.0, 1)
    assert window.size == 1
    for _ in range(100):
        window.learn(0.0001 * 10, 10)
    assert window.size == LARGEST_WINDOW
