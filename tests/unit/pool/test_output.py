"""Output: bounded tails, in files and in memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from segue.worker.pool.capture import TAIL_BYTES, TRIM_BYTES, open_capture, read_tail, trim
from segue.worker.pool.inline import InlinePool
from segue.worker.pool.routing import captured, routing
from segue.worker.pool.thread import ThreadPool


def test_a_capture_file_has_no_name_and_gives_its_tail(tmp_path: Path) -> None:
    descriptor = open_capture(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert read_tail(descriptor) == ""
    os.write(descriptor, b"a" * TAIL_BYTES + b"the end")
    assert read_tail(descriptor) == "[... 7 bytes cut]\n" + "a" * (TAIL_BYTES - 7) + "the end"
    os.close(descriptor)


def test_a_capture_file_that_grew_is_cut_to_its_tail(tmp_path: Path) -> None:
    descriptor = open_capture(str(tmp_path))
    os.write(descriptor, b"short")
    trim(descriptor)
    assert read_tail(descriptor) == "short"
    os.write(descriptor, b"a" * TRIM_BYTES + b"the end")
    trim(descriptor)
    assert os.fstat(descriptor).st_size == TAIL_BYTES
    os.write(descriptor, b", and more")
    assert read_tail(descriptor).endswith("the end, and more")
    os.close(descriptor)


def test_what_is_printed_goes_to_the_attempt_and_the_stream_comes_back() -> None:
    stream = sys.stdout
    routing.install()
    with captured() as tail:
        sys.stdout.write("x" * 100_000)
        sys.stdout.writelines(["a", "b\n"])
        assert sys.stdout.isatty() is stream.isatty()
    routing.remove()
    assert sys.stdout is stream
    text = tail.text()
    assert text.endswith("xab\n")
    assert text.startswith("[... ")
    assert len(text) < TAIL_BYTES + 100


def test_killing_a_pool_twice_or_unstarted_leaves_the_routing_even() -> None:
    stream = sys.stdout
    for pool in (ThreadPool(1), InlinePool()):
        pool.kill()
    pool = ThreadPool(1)
    pool.start()
    pool.stop(0)
    pool.kill()
    pool = InlinePool(echo=False)
    pool.start()
    pool.kill()
    assert sys.stdout is stream
    routing.install()
    routing.renew()
    assert sys.stdout is not stream
    routing.remove()
    assert sys.stdout is stream
