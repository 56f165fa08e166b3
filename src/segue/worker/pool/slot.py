"""One place for a child process, as the worker sees it: its channels, the jobs it holds, what must happen to it next.

Invariant: `queue` holds, oldest first, exactly the jobs that were sent and have neither been answered nor taken back.
The worker keeps a copy of the child's end of the job socket, so that it can take back what the child has not read. The
child reads its next job only after it has written its last result. Therefore, once everything unread has been taken
back and all results have been read, at most one job is left, and that is the one the child runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections import deque

from segue.model import Job, Outcome, Progress
from segue.worker.pool import News, wire
from segue.worker.pool.capture import open_capture, read_tail

_F_SETPIPE_SZ: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux only
_SOCKET_BUFFER_BYTES = 1 << 20
_PIPE_BYTES = 1 << 18


class Slot:
    """A child and its channels. `open` makes new channels; jobs may be sent before the child is born."""

    __slots__ = (
        "_buffer",
        "_capture",
        "_child_end",
        "_folder",
        "_send",
        "_sender",
        "deaths_at_birth",
        "ending",
        "head_since",
        "index",
        "is_open",
        "is_silent",
        "kill_at",
        "news",
        "pid",
        "queue",
        "reopen_at",
        "retiring",
        "served",
        "wants_to_retire",
    )

    def __init__(self, index: int, folder: str) -> None:
        self.index = index
        self._folder = folder
        self.queue: deque[Job] = deque()
        self.is_open = False
        self.deaths_at_birth = 0  # children in a row that died without having answered a job
        self.reopen_at = 0.0

    def open(self) -> tuple[int, int, int]:
        """Make new channels; returns what the child must be given, to be closed by `gave` when it has been."""
        self._sender, self._child_end = socket.socketpair(socket.AF_UNIX, wire.MESSAGE_KIND)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        self._send = self._sender.send
        self.news, their_news = os.pipe()
        os.set_blocking(self.news, False)
        if _F_SETPIPE_SZ is not None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.news, _F_SETPIPE_SZ, _PIPE_BYTES)
        self._capture = open_capture(self._folder)
        self._buffer = bytearray()
        self.pid = 0
        self.head_since = 0.0  # when the job at the head of the queue began, as far as can be told from here
        self.served = 0
        self.ending: Outcome | None = None  # what the head's outcome will be, while it is being ended
        self.kill_at = 0.0
        self.retiring = False  # it has been told to end after what it holds
        self.wants_to_retire = False
        self.is_silent = False  # it has closed its end of the pipe
        self.is_open = True
        return self._child_end.fileno(), their_news, self._capture

    def close(self) -> None:
        """Forget the child; what it still holds stays in `queue`."""
        if self.is_open:
            self.is_open = False
            self._sender.close()
            self._child_end.close()
            os.close(self.news)
            os.close(self._capture)

    @property
    def takes_jobs(self) -> bool:
        """Whether anything may be sent to it."""
        return self.is_open and not self.retiring and self.ending is None

    def send(self, job: Job, now: float) -> bool:
        """Give it one more job; False when its socket is full."""
        message = wire.pack_job(job, self._folder)
        try:
            self._send(message, socket.MSG_DONTWAIT)
        except OSError:  # full: EAGAIN, and where messages are datagrams ENOBUFS
            if message[0] == wire.SPILL[0]:
                os.unlink(message[1:])
            return False
        if not self.queue:
            self.head_since = now
        self.queue.append(job)
        return True

    def tell_to_stop(self) -> None:
        """Have the child end when it has done what it holds."""
        self.retiring = True
        with contextlib.suppress(OSError):
            self._send(wire.STOP, socket.MSG_DONTWAIT)

    def read(self, now: float) -> list[News]:
        """What the child has written since the last time; answered jobs leave the queue."""
        return self._parse(now) if self._fill() else []

    def read_all(self, now: float) -> list[News]:
        """`read` until the pipe is empty."""
        while self._fill():
            pass
        return self._parse(now)

    def _fill(self) -> bool:
        try:
            data = os.read(self.news, _PIPE_BYTES)
        except BlockingIOError:
            return False
        self._buffer += data
        self.is_silent = not data
        return not self.is_silent

    def _parse(self, now: float) -> list[News]:
        news: list[News] = []
        queue = self.queue
        for frame in wire.take_frames(self._buffer):
            if frame is None:
                self.wants_to_retire = True
                continue
            # Only the head can be spoken of; anything else was written by a stray fork of the child.
            head = queue[0] if queue else None
            if head is None or head.step != frame.step or head.run_id != frame.run_id or head.attempt != frame.attempt:
                continue
            news.append(frame)
            if isinstance(frame, Outcome):
                queue.popleft()
                self.head_since = now
                self.served += 1
        return news

    def take_back(self) -> list[Job]:
        """Take back every job that the child has not read, oldest first."""
        if not self.queue:
            return []
        taken: set[tuple[str, int, int]] = set()
        jobs: list[Job] = []
        had_stop = False
        while True:
            try:
                message = self._child_end.recv(wire.LARGEST_MESSAGE_BYTES + 1024, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not message:
                break
            if message[0] == wire.STOP[0]:
                had_stop = True
                continue
            job = wire.unpack_job(message)
            taken.add((job.run_id, job.step, job.attempt))
            jobs.append(job)
        if taken:
            self.queue = deque(job for job in self.queue if (job.run_id, job.step, job.attempt) not in taken)
        if had_stop:
            self.tell_to_stop()
        return jobs

    def last_output(self) -> str:
        """What a child that died has printed in its last attempt."""
        return read_tail(self._capture)


def key_of(job: Job | Outcome | Progress) -> tuple[str, int, int]:
    """The attempt that something is about."""
    return (job.run_id, job.step, job.attempt)
