"""Access tokens, sessions and the audit log: `segue.access`."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from segue.client.given import guarded
from segue.engine import access
from segue.engine.access import AuditInfo, SessionFound, SessionInfo, TokenInfo
from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.errors import ConfigError, StoreFullError, StoreReadOnlyError
from segue.given import shown
from segue.masking import masked_text
from segue.plan.indexed import name_problem

ROLES = ("viewer", "operator", "admin")
PREFIX = "segue_"
"""Begins every token, so that scanners for secrets recognize one."""

MOST_NAME_LENGTH = 200
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH, _CHECK_LENGTH = 43, 6  # 43 digits of 62 are 256 bits


@guarded
class AccessRecords:
    """Who may use the web pages and the HTTP API of this database.

    Example::

        token = segue.access.create_token("deploy", role="operator")  # "segue_..."; it is shown only here
        segue.access.revoke_token(segue.access.tokens()[0].id)
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create_token(
        self, name: str, *, role: str = "viewer", expires: timedelta | None = None,
        scopes: Iterable[str] | None = None, workflows: Iterable[str] | None = None, created_by: str | None = None,
    ) -> str:  # fmt: skip
        """Make an access token for a person or a program, and return it. It is stored as a hash, so keep it now.

        `role` is viewer, operator or admin. `expires` is how long it is valid. `scopes` limits it to these operations
        of the API, as "start_run". `workflows` are patterns of the workflows that it may start and control, as
        "shop.*". Raises ConfigError.
        """
        wrong = name_problem(name, 4 * MOST_NAME_LENGTH)
        if wrong is not None or not name.strip() or len(name) > MOST_NAME_LENGTH:
            raise ConfigError(f"name={shown(name)} is not a name; give 1 to {MOST_NAME_LENGTH} characters.")
        if role not in ROLES:
            raise ConfigError(f"role={shown(role)} is not a role. There are viewer, operator and admin.")
        if expires is not None and expires <= timedelta(0):
            raise ConfigError(f"expires={shown(expires)} is not a duration above zero; write timedelta(days=90).")
        secret = "".join(secrets.choice(_DIGITS) for _ in range(_SECRET_LENGTH))
        self._engine.act(
            access.create_token, self._engine.namespace, id_=secret[:8], hash_=hashed(PREFIX + secret + _check(secret)),
            name=name, role=role, scopes=_patterns("scopes", scopes), workflows=_patterns("workflows", workflows),
            expires_at=None if expires is None else self._engine.store.now() + expires, created_by=created_by,
        )  # fmt: skip
        return PREFIX + secret + _check(secret)

    def tokens(self) -> list[TokenInfo]:
        """All tokens, the oldest first, also those that have expired or were revoked."""
        with self._engine.reading() as tx:
            return access.list_tokens(tx, self._engine.namespace)

    def revoke_token(self, id_: str) -> None:
        """End a token, and the sessions that began with it. Raises ConfigError if there is none."""
        self._engine.act(access.revoke_token, self._engine.namespace, id_)

    def token(self, text: str) -> TokenInfo | None:
        """The valid token with this text. One that was mistyped is not looked for."""
        if not is_token(text):
            return None
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            found = access.find_token(tx, self._engine.namespace, hashed(text))
        if found is None or not found.is_valid(now):
            return None
        if found.used_at is None or found.used_at < now - access.SEEN_EVERY:
            self._note(access.use_token, found.id)
        return found

    def open_session(
        self, name: str, role: str, *, how: str, token_id: str | None = None, address: str | None = None,
        agent: str | None = None, lasts: timedelta = access.LASTS,
    ) -> str:  # fmt: skip
        """Begin a session of a browser, and return the value of its cookie."""
        value = secrets.token_urlsafe(32)
        self._engine.act(
            access.open_session, self._engine.namespace, hash_=hashed(value), name=name, role=role, how=how,
            token_id=token_id, address=address, agent=agent, lasts=lasts,
        )  # fmt: skip
        return value

    def session(self, value: str) -> SessionFound | None:
        """The valid session with this cookie."""
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            found = access.find_session(tx, self._engine.namespace, hashed(value), now)
        if found is not None and found.session.seen_at < now - access.SEEN_EVERY:
            self._note(access.see_session, hashed(value))
        return found

    def _note(self, seen: Callable[[Act, str], object], of: str) -> None:
        """Write when something was used. People still look at a database that takes no more."""
        with suppress(StoreReadOnlyError, StoreFullError):
            self._engine.act(seen, of)

    def close_session(self, value: str) -> None:
        """End the session with this cookie."""
        self._engine.act(access.end_session, hashed(value))

    def sessions(self) -> list[SessionInfo]:
        """The valid sessions, the one that was used last first."""
        with self._engine.reading() as tx:
            return access.list_sessions(tx, self._engine.namespace, self._engine.store.now())

    def end_session(self, id_: str) -> None:
        """End a session by its id. Raises ConfigError if there is none."""
        self._engine.act(access.end_session_of_id, self._engine.namespace, id_)

    def record(
        self, action: str, *, ok: bool, actor: str | None = None, how: str | None = None, role: str | None = None,
        target: str | None = None, reason: str | None = None, address: str | None = None,
        request_id: str | None = None,
    ) -> None:  # fmt: skip
        """Write an entry of the audit log. Secrets in what people have typed are hidden before."""
        self._engine.act(
            access.write_audit, self._engine.namespace, action=action, ok=ok, actor=actor, how=how, role=role,
            target=_bounded(target), reason=_bounded(reason), address=_bounded(address),
            request_id=_bounded(request_id),
        )  # fmt: skip

    def audit(
        self, *, actor: str | None = None, action: str | None = None, before: str | None = None, limit: int = 100
    ) -> list[AuditInfo]:
        """Entries of the audit log, the newest first. For the next page give the last id as `before`.

        Raises ConfigError if that is not an id.
        """
        if any("\x00" in text for text in (actor, action) if text is not None):  # no database stores it
            return []
        with self._engine.reading() as tx:
            return access.list_audit(tx, self._engine.namespace, actor=actor, action=action, before=before, limit=limit)

    def refused_logins(self, address: str, since: datetime) -> int:
        """How many logins of an address were refused since then."""
        with self._engine.reading() as tx:
            return access.count_refused_logins(tx, address, since)


def is_token(text: str) -> bool:
    """Whether a text has the form of a token, and its last digits fit the others."""
    secret, check = text[len(PREFIX) : -_CHECK_LENGTH], text[-_CHECK_LENGTH:]
    return text.startswith(PREFIX) and len(secret) == _SECRET_LENGTH and text.isascii() and check == _check(secret)


def hashed(text: str) -> str:
    """SHA-256 of a text, as hexadecimal digits. It is enough for secrets of 256 random bits."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _check(secret: str) -> str:
    number, digits = zlib.crc32(secret.encode()), ""
    for _ in range(_CHECK_LENGTH):
        number, rest = divmod(number, len(_DIGITS))
        digits = _DIGITS[rest] + digits
    return digits


def _patterns(word: str, given: Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    found = tuple(given)
    if isinstance(given, str) or not found or not all(0 < len(each) <= MOST_NAME_LENGTH for each in found):
        raise ConfigError(f"{word}={shown(given)} is not a list of names, as ['shop.*'].")
    return found


def _bounded(text: str | None) -> str | None:
    return None if text is None else masked_text(text)[:500].replace("\x00", "\ufffd")
