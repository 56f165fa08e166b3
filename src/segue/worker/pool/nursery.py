"""Births and deaths: keeps a child in every slot, and the zygote that they come from alive."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile

from segue.errors import WorkerError
from segue.worker.pool import zygote
from segue.worker.pool.forge import Forge
from segue.worker.pool.settings import ChildSettings
from segue.worker.pool.slot import Slot
from segue.worker.pool.waiting import Waiter

_IMPORT_TIMEOUT_SECONDS = 120.0
_REOPEN_SECONDS = 0.05
_REOPEN_SECONDS_MAX = 5.0
_DEATHS_BEFORE_WAITING = 2


class Nursery:
    """The slots, the zygote, and the descriptors that the waiter watches for both."""

    def __init__(
        self,
        size: int,
        waiter: Waiter,
        modules: tuple[str, ...],
        max_rss_mb: int | None,
        result_limit_bytes: int,
        database_url: str | None,
    ) -> None:
        self._folder = tempfile.mkdtemp(prefix="segue-pool-")
        self._waiter = waiter
        self._settings = ChildSettings(
            modules=modules,
            search_path=(os.getcwd(), *(path for path in sys.path if path)),
            folder=self._folder,
            max_rss_mb=max_rss_mb,
            result_limit_bytes=result_limit_bytes,
            database_url=database_url,
        )
        self.slots = [Slot(index, self._folder) for index in range(size)]
        self._slot_at: dict[int, Slot] = {}
        self._forge: Forge | None = None
        self._zygotes_lost = 0  # in a row, without a birth

    @property
    def zygote_pid(self) -> int:
        """The process id of the zygote; 0 when there is none."""
        return self._forge.pid if self._forge else 0

    def start(self) -> None:
        """Start the zygote, wait until it has imported the modules, fill the slots."""
        forge = self._new_forge()
        try:
            forge.wait_until_imported(_IMPORT_TIMEOUT_SECONDS)
        except WorkerError:
            self.close()
            raise
        for slot in self.slots:
            self.open(slot)

    def slot_at(self, descriptor: int) -> Slot | None:
        """The slot whose news this descriptor carries; None for the zygote's."""
        return self._slot_at.get(descriptor)

    def open(self, slot: Slot) -> None:
        """Ask for a child; it may be sent jobs at once."""
        forge = self._forge or self._new_forge()
        jobs, news, capture = slot.open()
        forge.fork(slot.index, (jobs, news, capture))
        os.close(news)
        self._slot_at[slot.news] = slot
        self._waiter.watch(slot.news)

    def signal(self, slot: Slot, signal_number: int) -> None:
        """Send a signal to the child's process group; before its birth is known, `attend` will send a SIGTERM."""
        if self._forge is not None and slot.pid:
            self._forge.signal(slot.pid, signal_number)

    def attend(self, now: float) -> list[tuple[Slot, int | None]]:
        """Hear the zygote; returns the slots whose child has died, with its exit code (None: with the zygote).

        The caller saves what is in these slots, then calls `bury`.
        """
        if self._forge is None:
            return []
        try:
            reports = self._forge.read()
        except ConnectionError:
            return self._lose_zygote()
        dead: list[tuple[Slot, int | None]] = []
        for kind, index, number in reports:
            if kind == zygote.BORN:
                self._welcome(self.slots[index], number, now)
            elif kind == zygote.DIED:
                dead.append((self.slots[index], number))
            elif kind == zygote.FORK_FAILED:
                dead.append((self.slots[index], None))
        return dead

    def bury(self, slot: Slot, now: float, *, died_idle: bool) -> None:
        """Close the slot of a dead child; it is opened again at once, or later when children die as they are born."""
        self._waiter.unwatch(slot.news)
        del self._slot_at[slot.news]
        slot.deaths_at_birth = slot.deaths_at_birth + 1 if died_idle and not slot.served else 0
        slot.close()
        slot.reopen_at = now + max(_backoff(slot.deaths_at_birth), _backoff(self._zygotes_lost))

    def close(self) -> None:
        """Kill everything and delete the folder."""
        if self._forge is not None:
            self._forge.close()
            self._forge = None
        for slot in self.slots:
            slot.close()
        self._slot_at.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _new_forge(self) -> Forge:
        os.makedirs(self._folder, exist_ok=True)
        self._forge = Forge(self._settings)
        self._waiter.watch(self._forge.fileno())
        return self._forge

    def _welcome(self, slot: Slot, pid: int, now: float) -> None:
        self._zygotes_lost = 0
        slot.pid = pid
        if slot.queue:
            slot.head_since = now
        if slot.ending is not None:
            self.signal(slot, signal.SIGTERM)

    def _lose_zygote(self) -> list[tuple[Slot, int | None]]:
        forge, self._forge = self._forge, None
        open_slots = [slot for slot in self.slots if slot.is_open]
        if forge is not None:
            self._waiter.unwatch(forge.fileno())
            forge.kill_children([slot.pid for slot in open_slots if slot.pid])
            forge.close()
        self._zygotes_lost += 1
        return [(slot, None) for slot in open_slots]


def _backoff(failures: int) -> float:
    if failures < _DEATHS_BEFORE_WAITING:
        return 0.0
    return min(_REOPEN_SECONDS_MAX, _REOPEN_SECONDS * 2.0**failures)
