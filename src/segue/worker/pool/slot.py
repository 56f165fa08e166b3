"""A place for one child process, on the worker's side: its channels, the jobs it holds, and what must be done next.

Invariant: `queue` holds, oldest first, exactly the jobs that were sent and have neither been answered nor taken back.
The worker keeps a copy of the child's end of the job socket, so that it can take back jobs that the child has not read.
The child reads its next job only after it has written its last result. Therefore, once everything unread has been taken
back and all results have been read, at most one job is left, and that is the one the child runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections import deque

from segue.logs.forwarding import LogLine
from segue.logs.setting import log
from segue.model import Job, Outcome, Progress
from segue.worker.pool import News, wire
from segue.worker.pool.capture import begun_line_cut, open_capture, read_tail

_F_SETPIPE_SZ: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux only
_SOCKET_BUFFER_BYTES = 1 << 20
_PIPE_BYTES = 1 << 18
_MOST_READS = 16


class Slot:
    """A child and its channels. `open` makes new channels; jobs may be sent before the child is born."""

    __slots__ = (
        "_buffer",
        "_capture",
        "_child_end",
        "_folder",
        "_largest_frame_bytes",
        "_send",
        "_sender",
        "deaths_at_birth",
        "ending",
        "head_since",
        "index",
        "is_garbled",
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

    def __init__(self, index: int, folder: str, largest_frame_bytes: int) -> None:
        self.index = index
        self._folder = folder
        self._largest_frame_bytes = largest_frame_bytes
        self.queue: deque[Job] = deque()
        self.is_open = False
        self.deaths_at_birth = 0  # children in a row that died without having answered a job
        self.reopen_at = 0.0

    def open(self) -> tuple[int, int, int]:
        """Make new channels. Returns the descriptors for the child; the caller closes the second of them.

        Raises OSError, with nothing left open, if there are no more descriptors.
        """
        with contextlib.ExitStack() as if_it_fails:
            self._capture = open_capture(self._folder)
            if_it_fails.callback(os.close, self._capture)
            self._sender, self._child_end = socket.socketpair(socket.AF_UNIX, wire.MESSAGE_KIND)
            if_it_fails.callback(self._sender.close)
            if_it_fails.callback(self._child_end.close)
            self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            self._send = self._sender.send
            self.news, their_news = os.pipe()
            if_it_fails.pop_all()
        os.set_blocking(self.news, False)
        if _F_SETPIPE_SZ is not None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.news, _F_SETPIPE_SZ, _PIPE_BYTES)
        self._buffer = bytearray()
        self.pid = 0
        self.head_since = 0.0  # when the job at the head of the queue began, as far as the worker knows
        self.served = 0
        self.ending: Outcome | None = None  # the future outcome of the head, while it is being ended
        self.kill_at = 0.0
        self.retiring = False  # it was asked to end after the jobs that it holds
        self.wants_to_retire = False
        self.is_silent = False  # it has closed its end of the pipe
        self.is_garbled = False  # it has written an invalid frame: everything after that is ignored
        self.is_open = True
        return self._child_end.fileno(), their_news, self._capture

    def close(self) -> None:
        """Forget the child; the jobs that it still holds stay in `queue`."""
        if self.is_open:
            self.is_open = False
            self._sender.close()
            self._child_end.close()
            os.close(self.news)
            os.close(self._capture)

    @property
    def takes_jobs(self) -> bool:
        """Whether jobs may be sent to it."""
        return self.is_open and not self.retiring and self.ending is None

    def send(self, job: Job, now: float) -> bool:
        """Send it one more job. False if its socket is full. Raises OSError if there is no room for a long one."""
        message = wire.pack_job(job, self._folder)
        try:
            self._send(message, socket.MSG_DONTWAIT)
        except OSError:  # full: EAGAIN, and where messages are datagrams ENOBUFS
            spilled = wire.spilled_in(message)
            if spilled is not None:
                spilled.remove()
            return False
        if not self.queue:
            self.head_since = now
        self.queue.append(job)
        return True

    def tell_to_stop(self) -> None:
        """Let the child end after the jobs that it holds."""
        self.retiring = True
        with contextlib.suppress(OSError):
            self._send(wire.STOP, socket.MSG_DONTWAIT)

    def read(self, now: float) -> list[News]:
        """The news that the child has written since the last call; answered jobs leave the queue."""
        return self._parse(now) if self._fill() else []

    def read_all(self, now: float) -> list[News]:
        """`read` everything that is in the pipe now; a child that logs without end cannot hold up the worker."""
        for _ in range(_MOST_READS):
            if not self._fill():
                break
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
        if self.is_garbled:
            self._buffer.clear()
            return news
        for frame in wire.take_frames(self._buffer, self._largest_frame_bytes):
            if isinstance(frame, wire.Sign):
                self.wants_to_retire = self.wants_to_retire or frame is wire.Sign.RETIRE
                self.is_garbled = self.is_garbled or frame is wire.Sign.GARBLED
                continue
            if isinstance(frame, LogLine):
                log.receive(frame)
                continue
            # Only the job at the head can be reported; anything else was written by a stray fork of the child.
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
            spilled = wire.spilled_in(message)
            if spilled is not None:
                spilled.remove()  # the queue has the job
            taken.add(key_of(spilled or wire.unpack_job(message)))
        jobs: list[Job] = []
        if taken:
            jobs = [job for job in self.queue if key_of(job) in taken]
            self.queue = deque(job for job in self.queue if key_of(job) not in taken)
        if had_stop:
            self.tell_to_stop()
        return jobs

    def output_after(self, position: int) -> tuple[bytes, int]:
        """What the attempt that runs has printed behind a position of the file, and where that ends now."""
        try:
            size = os.fstat(self._capture).st_size
            return (os.pread(self._capture, size - position, position), size) if size > position else (b"", size)
        except OSError:  # it has no child at present
            return b"", position

    def output_so_far(self) -> str:
        """The output of the attempt that runs."""
        try:
            return begun_line_cut(read_tail(self._capture))
        except OSError:  # it has no child at present
            return ""

    def last_output(self) -> str:
        """The output of a dead child's last attempt."""
        return read_tail(self._capture)


def key_of(job: Job | Outcome | Progress | wire.Spilled) -> tuple[str, int, int]:
    """The attempt to which a message belongs."""
    return (job.run_id, job.step, job.attempt)
