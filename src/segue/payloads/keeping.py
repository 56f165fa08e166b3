"""`Payloads`: a store with its settings. It puts large texts there, and gets them back verified.

The name of an object is the digest of its contents and the day on which they were stored. So equal contents of one day
are one object, and nothing is stored any more under a name of a day that has passed: from then on an object that no run
uses can be deleted without a race with those who store.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

from segue.clock import Clock, SystemClock
from segue.config import without_password
from segue.errors import (
    ConfigError,
    PayloadDamagedError,
    PayloadError,
    PayloadMissingError,
    PayloadUnavailableError,
)
from segue.given import described, shown
from segue.observing.harmless_log import get_logger
from segue.payloads.packing import check_compression, digest_of, pack, unpack
from segue.payloads.protocol import LONGEST_REFERENCE, Cipher, PayloadStore
from segue.plan.codec import follow
from segue.plan.payload_frames import PayloadRef

logger = get_logger("segue.payloads")

THRESHOLD = 128 * 1024
LEAST_THRESHOLD = 8 * 1024
DAY_SECONDS = 86_400
PAUSES_SECONDS = (0.2, 1.0, 5.0)
"""The pauses between tries to read from a store that is not available."""

AWAY_SECONDS = 30.0
"""So long a store that did not take a value is not asked again: each try may take a while."""

PARTS_CHARACTERS = 32 * 2**20
"""So much text of payloads of which parts were read is remembered, because other parts are often read next."""


class _Settings(NamedTuple):
    store: PayloadStore
    threshold: int
    compression: str
    cipher: Cipher | None


class Payloads:
    """A payload store with its settings.

    Values whose JSON is longer than `threshold` characters lie in the store. `compression` is "zlib", "zstd" (Python
    3.14 or the package zstandard, in all processes) or "none". With a `cipher`, payloads are encrypted.

    Example::

        payloads = Payloads(FilePayloads("/var/lib/segue/payloads"), threshold=50_000, cipher=MyCipher())
        segue = Segue(url, payloads=payloads)
    """

    pauses_seconds = PAUSES_SECONDS
    _away_until = float("-inf")

    def __init__(
        self, store: PayloadStore, *, threshold: int = THRESHOLD, compression: str = "zlib",
        cipher: Cipher | None = None, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        check_store(store)
        check_threshold(threshold)
        check_compression(compression)
        if cipher is not None and not isinstance(getattr(cipher, "name_key", None), bytes):
            raise ConfigError("The cipher has no name_key: give it secret bytes, from which names are made.")
        self._given: _Settings | None = _Settings(store, threshold, compression, cipher)
        self._named = ""
        self._threshold: int | None = None
        self._clock = clock or SystemClock()
        self._parts = _Remembered(PARTS_CHARACTERS)

    @classmethod
    def named(cls, name: str, *, threshold: int | None = None) -> Payloads:
        """The store, or the `Payloads`, that a module has as an attribute: "package.module:attribute".

        The module is imported when a payload is first needed, because it may itself be the one that makes this object.
        """
        made = cls.__new__(cls)
        made._given, made._named, made._threshold = None, name, threshold
        made._clock, made._parts = SystemClock(), _Remembered(PARTS_CHARACTERS)
        return made

    def __repr__(self) -> str:
        return f"Payloads({self._named or self.store!r})"

    @property
    def name(self) -> str:
        """The "package.module:attribute" that it was made of; "" if it was given as an object."""
        return self._named

    @property
    def place(self) -> str:
        """Where values lie, for people: the URL of the store, or the name of its object."""
        return self._named or without_password(str(getattr(self.store, "url", ""))) or shown(self.store)

    @property
    def threshold_given(self) -> int | None:
        """The threshold that was given beside its name, which goes before that of the attribute."""
        return self._threshold

    @property
    def store(self) -> PayloadStore:
        """The store."""
        return self._settings.store

    @property
    def threshold(self) -> int:
        """A longer JSON text is a payload."""
        return self._settings.threshold

    @property
    def compression(self) -> str:
        """How payloads are compressed that are stored now."""
        return self._settings.compression

    @property
    def cipher(self) -> Cipher | None:
        """What encrypts them."""
        return self._settings.cipher

    def keep(self, text: str) -> str:
        """Put a JSON text into the store. Returns the frame that stands for it. Raises PayloadUnavailableError."""
        store, _, compression, cipher = self._settings
        contents = text.encode()
        digest = digest_of(contents, cipher)
        day = int(self._clock.now().timestamp()) // DAY_SECONDS
        data = pack(contents, digest, compression=compression, cipher=cipher)
        try:
            reference = store.store(data, f"{digest}.{day}")
        except Exception as error:
            raise PayloadUnavailableError(
                f"{len(contents):,} bytes cannot be put into the payload store {shown(store)}: {_said(error)}. Check "
                "that it can be reached, has room, and may be written"
            ) from error
        if not is_reference(reference):
            raise PayloadError(
                f"{shown(store)}.store returned {shown(reference)}, which is no reference; it must return a text of 1 "
                f"to {LONGEST_REFERENCE} characters"
            )
        return PayloadRef(reference, digest, len(contents)).text

    def kept(self, text: str, *, most_inline: int) -> str:
        """The frame for a JSON text that is longer than the threshold; a shorter one stays as it is.

        While the store is not available, up to `most_inline` characters stay in the database, as without a store: the
        work that made them is not lost. Longer ones raise PayloadUnavailableError. A store that failed is not asked
        again for `AWAY_SECONDS`, unless it must take the value.
        """
        fits = len(text) <= most_inline
        if len(text) <= self.threshold or (fits and self._clock.monotonic() < self._away_until):
            return text
        try:
            return self.keep(text)
        except PayloadUnavailableError as error:
            self._away_until = self._clock.monotonic() + AWAY_SECONDS
            if not fits:
                raise
            logger.warning("Values stay in the database for the next %g s: %s", AWAY_SECONDS, error)
            return text

    def text_of(self, payload: PayloadRef) -> str:
        """The JSON text of a payload, or of the part of it that is meant, verified.

        Raises PayloadMissingError, PayloadDamagedError or PayloadUnavailableError, each of which names the reference.
        """
        if not payload.path:
            return self._read(payload)
        key = (payload.reference, payload.digest)
        whole = self._parts.get(key)
        if whole is None:
            whole = self._read(payload)
            self._parts.put(key, whole)
        return follow(whole, payload.path, f"the payload {payload.reference}")

    def _read(self, payload: PayloadRef) -> str:
        reference, store, cipher = payload.reference, self.store, self.cipher
        try:
            data = self._retrieved(reference)
        except PayloadMissingError as error:
            raise PayloadMissingError(
                f"the payload {reference} is missing: {error}. Put it back from a backup and retry the step, or run "
                "the step that made the value again"
            ) from error
        except Exception as error:
            raise PayloadUnavailableError(
                f"the payload {reference} cannot be read from {shown(store)}: {_said(error)}. Check that the store can "
                "be reached from here"
            ) from error
        try:
            return unpack(data, payload.digest, payload.size, cipher=cipher).decode()
        except (PayloadDamagedError, UnicodeDecodeError) as error:
            raise PayloadDamagedError(
                f"the payload {reference} is damaged: {error}. Delete it in {shown(store)}, and run the step that made "
                "the value again"
            ) from error
        except PayloadError as error:
            raise PayloadError(f"the payload {reference} cannot be read: {error}") from error

    def _retrieved(self, reference: str) -> bytes:
        for pause_seconds in self.pauses_seconds:
            try:
                return self.store.retrieve(reference)
            except (PayloadMissingError, ConfigError):
                raise
            except Exception as error:  # noqa: BLE001 - what a store raises is not known
                logger.warning("The payload %s cannot be read, trying again: %s", reference, _said(error))
                time.sleep(pause_seconds)
        return self.store.retrieve(reference)

    @cached_property
    def _settings(self) -> _Settings:
        if self._given is not None:
            return self._given
        found = attribute_of(self._named)
        if isinstance(found, Payloads):
            settings = found._settings
        else:
            settings = _Settings(check_store(found, self._named), THRESHOLD, "zlib", None)
        return settings if self._threshold is None else settings._replace(threshold=self._threshold)


class _Remembered:
    """The texts of some payloads, the latest used ones, up to a number of characters."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._texts: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._size = 0

    def get(self, key: tuple[str, str]) -> str | None:
        with self._lock:
            text = self._texts.get(key)
            if text is not None:
                self._texts.move_to_end(key)
            return text

    def put(self, key: tuple[str, str], text: str) -> None:
        if len(text) > self._most:
            return
        with self._lock:
            self._size += len(text) - len(self._texts.pop(key, ""))
            self._texts[key] = text
            while self._size > self._most:
                _, dropped = self._texts.popitem(last=False)
                self._size -= len(dropped)


def attribute_of(name: str) -> object:
    """What "package.module:attribute" names. Raises ConfigError."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"The payload store {name!r} cannot be found: {error}. Name a module and an attribute of it, such as "
            "shop.payloads:store."
        ) from error


def is_reference(given: object) -> bool:
    """Whether the database can keep what a store returned."""
    return isinstance(given, str) and 0 < len(given) <= LONGEST_REFERENCE and "\0" not in given and given.isprintable()


def check_store(store: Any, name: str = "") -> PayloadStore:
    """The store. Raises ConfigError unless this object has the two methods of one."""
    missing = [method for method in ("store", "retrieve") if not callable(getattr(store, method, None))]
    if missing or isinstance(store, type):
        raise ConfigError(
            f"{name or shown(store)} is no payload store: it needs the methods store(data, name) and "
            "retrieve(reference). Give FilePayloads(folder), ObjectPayloads(url) or an object of your own."
        )
    return store  # type: ignore[no-any-return]


def check_threshold(threshold: object) -> None:
    """Raise ConfigError for a threshold that is no number of characters, or too small to be worth an object."""
    if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < LEAST_THRESHOLD:
        raise ConfigError(
            f"payload_threshold={shown(threshold)} is not possible. Give at least {LEAST_THRESHOLD:,} characters; a "
            "shorter value is cheaper in the database than in a store."
        )


def _said(error: Exception) -> str:
    found = described(error)
    return f"{found.type}: {found.message}" if found.message else found.type
