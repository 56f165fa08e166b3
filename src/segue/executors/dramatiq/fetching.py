"""Fetches messages of steps from Redis as soon as this process has sent them, while it has threads to spare.

A consumer of Dramatiq's for Redis asks for messages again and again, and sleeps longer the more often there was none:
that is several milliseconds between two steps of a chain, and up to a second for a process that was idle. The fetcher
asks in between, when there is a reason to. It takes what the free threads can run at once, so other processes get the
rest; when a queue had more than that, it takes as many as a consumer would. Brokers that push messages need none of
this.

The fetcher is a thread of its own, because a worker thread may be interrupted, and a message that was fetched and not
handed on would wait until the process ends. It uses names of Dramatiq's consumers that are not documented. Where one of
them is missing, nothing is fetched here, and only speed is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from queue import SimpleQueue
from typing import Any

from dramatiq import Message, MessageProxy

from segue.observing.harmless_log import get_logger

logger = get_logger("segue.dramatiq")

STOP_SECONDS = 5.0
_NAMES = ("broker", "message_cache", "prefetch", "queued_message_ids")


class Fetcher:
    """The thread. `workers` are those of this process; the list may change."""

    def __init__(self, workers: Sequence[Any]) -> None:
        self._workers = workers
        self._asked: SimpleQueue[str | None] = SimpleQueue()  # its `put` cannot be interrupted half-way
        self._fuller: set[str] = set()  # queues that had more than was taken
        self._thread = threading.Thread(target=self._run, name="segue-dramatiq-fetcher", daemon=True)

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End: the worker stops, and gives back what it has."""
        self._asked.put(None)
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def sent(self, queues: Iterable[str]) -> None:
        """This process has sent messages to these queues."""
        for queue in queues:
            self._asked.put(queue)

    def acknowledged(self) -> None:
        """A thread of this process is done with a message, and can take one of any queue."""
        for queue in tuple(self._fuller):
            if any(_wants_more(worker, queue) for worker in self._workers):
                self._asked.put(queue)

    def _run(self) -> None:
        while (queue := self._asked.get()) is not None:
            for worker in list(self._workers):
                try:
                    self._fetch(worker, queue)
                except Exception as error:  # noqa: BLE001 - the consumer asks as well, and deals with it
                    self._fuller.discard(queue)
                    logger.debug("Nothing was fetched from %s: %s", queue, error)

    def _fetch(self, worker: Any, queue: str) -> None:
        thread = worker.consumers.get(queue)
        consumer = _consumer(thread)
        if consumer is None or thread.paused or not thread.running:
            self._fuller.discard(queue)
            return
        was_fuller = queue in self._fuller
        self._fuller.add(queue)  # before threads are counted: one that is done from now on asks for this queue
        wanted = _free(worker)
        if was_fuller:
            wanted = max(wanted, consumer.prefetch - _taken(consumer))
        if wanted <= 0:
            return
        found = consumer.broker.do_fetch(queue, wanted)
        if len(found) < wanted:
            self._fuller.discard(queue)
        for data in found:
            if data is not None:
                _hand_on(thread, consumer, data)


def _hand_on(thread: Any, consumer: Any, data: bytes) -> None:
    """Do with a message what the consumer would do."""
    try:
        message = Message.decode(data)
    except Exception:  # another program sent it
        logger.exception("A message in queue %s cannot be read", consumer.queue_name)
        return
    consumer.queued_message_ids.add(message.message_id)
    try:
        thread.handle_message(MessageProxy(message))
    except Exception:  # of a middleware; those that were fetched with it must be handed on
        consumer.queued_message_ids.discard(message.message_id)
        logger.exception("Message %s of queue %s cannot be handed on", message.message_id, consumer.queue_name)


def _consumer(thread: Any) -> Any:
    """The consumer for Redis that a consumer thread has now, if it is one that is known here."""
    consumer = getattr(thread, "consumer", None)
    return consumer if all(hasattr(consumer, name) for name in _NAMES) else None


def _taken(consumer: Any) -> int:
    return len(consumer.queued_message_ids) + len(consumer.message_cache)


def _free(worker: Any) -> int:
    """How many threads have nothing to do."""
    consumers = [_consumer(thread) for queue, thread in list(worker.consumers.items()) if not queue.endswith(".DQ")]
    return int(worker.worker_threads) - sum(_taken(each) for each in consumers if each is not None)


def _wants_more(worker: Any, queue: str) -> bool:
    consumer = _consumer(worker.consumers.get(queue))
    return consumer is not None and _taken(consumer) <= worker.worker_threads
