"""Births and deaths: keeps a child in every slot, and keeps the zygote that forks them alive."""

from __future__ import annotations

import os
import signal
import sys
from time import monotonic  # by name: a task may replace `time.monotonic`

from segue.errors import WorkerError
from segue.logs.setting import log
from segue.observing.harmless_log import get_logger
from segue.payloads.address import PayloadsAddress
from segue.worker.pool import zygote
from segue.worker.pool.folder import PoolFolder, make_again
from segue.worker.pool.settings import ChildSettings
from segue.worker.pool.slot import Slot
from segue.worker.pool.waiting import Waiter
from segue.worker.pool.wire import largest_frame_bytes
from segue.worker.pool.zygote_client import ZygoteClient

_IMPORT_TIMEOUT_SECONDS = 120.0
_REOPEN_SECONDS = 0.05
_REOPEN_SECONDS_MAX = 5.0
_DEATHS_BEFORE_WAITING = 2

logger = get_logger("segue.worker")


class Children:
    """The slots, the zygote, and the descriptors that the waiter watches for both."""

    def __init__(
        self,
        size: int,
        waiter: Waiter,
        modules: tuple[str, ...],
        max_rss_mb: int | None,
        result_limit_bytes: int,
        database_url: str | None,
        payloads: PayloadsAddress | None,
    ) -> None:
        self._own_folder = PoolFolder()
        self._folder = self._own_folder.path
        self._waiter = waiter
        self._settings = ChildSettings(
            modules=modules,
            search_path=(*_current_folder(), *(path for path in sys.path if path)),
            folder=self._folder,
            max_rss_mb=max_rss_mb,
            result_limit_bytes=result_limit_bytes,
            database_url=database_url,
            payloads=payloads,
            log_level=log.level,
            log_prints=log.prints,
        )
        longest = largest_frame_bytes(result_limit_bytes)
        self.slots = [Slot(index, self._folder, longest) for index in range(size)]
        self._slot_at: dict[int, Slot] = {}
        self._zygote: ZygoteClient | None = None
        self._zygotes_lost = 0  # in a row, without a birth
        self._not_opened = 0  # slots in a row for which this machine had no room

    @property
    def zygote_pid(self) -> int:
        """The process id of the zygote; 0 if there is none."""
        return self._zygote.pid if self._zygote else 0

    def start(self) -> None:
        """Start the zygote, wait until it has imported the modules, fill the slots."""
        zygote = self._new_zygote()
        try:
            zygote.wait_until_imported(_IMPORT_TIMEOUT_SECONDS)
        except WorkerError:
            self.close()
            raise
        for slot in self.slots:
            if not self.open(slot):
                raise WorkerError(
                    f"There are not enough descriptors or processes for {len(self.slots)} children; see the warning "
                    "above. Raise the limit (`ulimit -n`, `ulimit -u`), or start fewer with --concurrency."
                )

    def slot_at(self, descriptor: int) -> Slot | None:
        """The slot to which this descriptor belongs; None for the zygote's descriptor."""
        return self._slot_at.get(descriptor)

    def open(self, slot: Slot) -> bool:
        """Ask for a child, which may be sent jobs immediately. False if the machine has no room: the slot must wait."""
        try:
            zygote = self._zygote or self._new_zygote()
            jobs, news, capture = slot.open()
            try:
                zygote.fork(slot.index, (jobs, news, capture))
            except OSError:
                slot.close()
                raise
            finally:
                os.close(news)
        except (OSError, WorkerError) as error:
            self._not_opened += 1
            seconds = _backoff(self._not_opened + _DEATHS_BEFORE_WAITING)
            slot.reopen_at = monotonic() + seconds
            logger.warning("a child process cannot be started, next try in %.1f s: %s", seconds, error)
            return False
        self._not_opened = 0
        self._slot_at[slot.news] = slot
        self._waiter.watch(slot.news)
        return True

    def signal(self, slot: Slot, signal_number: int) -> None:
        """Send a signal to the child's process group. Before its birth is known, `read_reports` will send a SIGTERM."""
        if self._zygote is not None and slot.pid:
            self._zygote.signal(slot.pid, signal_number)

    def read_reports(self, now: float) -> list[tuple[Slot, int | None]]:
        """Read the zygote's reports. Returns the slots whose child has died, with its exit code (None: the zygote
        died).

        The caller saves the jobs in these slots, then calls `close_dead`.
        """
        if self._zygote is None:
            return []
        try:
            reports = self._zygote.read()
        except ConnectionError:
            return self._lose_zygote()
        dead: list[tuple[Slot, int | None]] = []
        for kind, index, number in reports:
            if kind == zygote.BORN:
                self._on_born(self.slots[index], number, now)
            elif kind == zygote.DIED:
                dead.append((self.slots[index], number))
            elif kind == zygote.FORK_FAILED:
                dead.append((self.slots[index], None))
        return dead

    def silence(self, slot: Slot) -> None:
        """Stop reading from this child."""
        self._waiter.unwatch(slot.news)

    def close_dead(self, slot: Slot, now: float, *, died_idle: bool) -> None:
        """Close the slot of a dead child. It is opened again immediately, or later if children keep dying at birth."""
        self._waiter.unwatch(slot.news)
        del self._slot_at[slot.news]
        slot.deaths_at_birth = slot.deaths_at_birth + 1 if died_idle and not slot.served else 0
        slot.close()
        slot.reopen_at = now + max(_backoff(slot.deaths_at_birth), _backoff(self._zygotes_lost))

    def close(self) -> None:
        """Kill all processes and delete the folder."""
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None
        for slot in self.slots:
            slot.close()
        self._slot_at.clear()
        self._own_folder.remove()

    def _new_zygote(self) -> ZygoteClient:
        make_again(self._folder)
        self._zygote = ZygoteClient(self._settings)
        self._waiter.watch(self._zygote.fileno())
        return self._zygote

    def _on_born(self, slot: Slot, pid: int, now: float) -> None:
        self._zygotes_lost = 0
        slot.pid = pid
        if slot.queue:
            slot.head_since = now
        if slot.ending is not None:
            self.signal(slot, signal.SIGTERM)

    def _lose_zygote(self) -> list[tuple[Slot, int | None]]:
        zygote, self._zygote = self._zygote, None
        open_slots = [slot for slot in self.slots if slot.is_open]
        if zygote is not None:
            self._waiter.unwatch(zygote.fileno())
            zygote.kill_children([slot.pid for slot in open_slots if slot.pid])
            zygote.close()
        self._zygotes_lost += 1
        return [(slot, None) for slot in open_slots]


def _backoff(failures: int) -> float:
    if failures < _DEATHS_BEFORE_WAITING:
        return 0.0
    return min(_REOPEN_SECONDS_MAX, _REOPEN_SECONDS * 2.0**failures)


def _current_folder() -> tuple[str, ...]:
    try:
        return (os.getcwd(),)
    except OSError:  # the folder was removed, so nothing can be imported from it
        return ()
