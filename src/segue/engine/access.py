"""Who may use the web pages and the HTTP API: access tokens, sessions of browsers, and the audit log.

Tokens and sessions are stored as hashes, so the database contains nothing with which a request could be made.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from segue.engine.act import Act
from segue.engine.ids import first_id_at
from segue.engine.stored import known_moment, moment_of
from segue.errors import ConfigError
from segue.jsonable import Jsonable
from segue.store.protocol import Transaction

SEEN_EVERY = timedelta(minutes=1)
"""How exactly the last use of tokens and sessions is known: a request seldom writes."""

IDLE = timedelta(hours=12)
"""A session that is not used for so long has ended."""

LASTS = timedelta(days=7)
"""A session ends after this time in any case."""

AUDIT_KEPT = timedelta(days=366)

_FIRST = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class TokenInfo(Jsonable, msgspec.Struct, frozen=True):
    """An access token, without its secret. Times are aware UTC."""

    id: str
    name: str
    role: str
    scopes: tuple[str, ...] | None  # the operations to which it is limited; None: all of its role
    workflows: tuple[str, ...] | None  # patterns of the workflows that it may start; None: all
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    used_at: datetime | None  # to the minute
    revoked_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Whether requests may use it."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class SessionInfo(Jsonable, msgspec.Struct, frozen=True):
    """A browser in which a person has logged in. Times are aware UTC."""

    id: str
    name: str
    role: str
    how: str  # "token" or "oidc"
    token_id: str | None
    created_at: datetime
    seen_at: datetime  # to the minute
    expires_at: datetime
    address: str | None
    agent: str | None  # what the browser calls itself


class AuditInfo(Jsonable, msgspec.Struct, frozen=True):
    """An entry of the audit log: who did what, from where, and whether it was allowed."""

    id: str
    at: datetime
    actor: str | None
    how: str | None
    role: str | None
    action: str
    target: str | None
    ok: bool
    reason: str | None
    address: str | None
    request_id: str | None


class SessionFound(msgspec.Struct, frozen=True):
    """A session with what its token allows now."""

    session: SessionInfo
    role: str
    scopes: tuple[str, ...] | None
    workflows: tuple[str, ...] | None


def create_token(
    act: Act, namespace: str, *, id_: str, hash_: str, name: str, role: str, scopes: tuple[str, ...] | None,
    workflows: tuple[str, ...] | None, expires_at: datetime | None, created_by: str | None,
) -> None:  # fmt: skip
    """Store a token."""
    act.tx.all(
        "insert_token", id=id_, hash=hash_, name=name, role=role, scopes=_text(scopes), workflows=_text(workflows),
        namespace=namespace, now=act.now, created_by=created_by, expires_at=expires_at,
    )  # fmt: skip


def find_token(tx: Transaction, namespace: str, hash_: str) -> TokenInfo | None:
    """The token with this hash, valid or not."""
    rows = tx.all("find_token", hash=hash_, namespace=namespace)
    return _token(tx, rows[0]) if rows else None


def list_tokens(tx: Transaction, namespace: str) -> list[TokenInfo]:
    """All tokens of a namespace, the oldest first."""
    return [_token(tx, row) for row in tx.all("list_tokens", namespace=namespace)]


def use_token(act: Act, id_: str) -> None:
    """Note that a token was used."""
    act.tx.all("use_token", id=id_, now=act.now, before=act.now - SEEN_EVERY)


def revoke_token(act: Act, namespace: str, id_: str) -> None:
    """End a token and the sessions that began with it. Raises ConfigError if there is no valid one."""
    if not act.tx.all("revoke_token", id=id_, namespace=namespace, now=act.now):
        raise ConfigError(f"There is no token {id_!r} that could be revoked. `segue tokens list` shows them.")
    act.tx.all("end_sessions_of_token", id=id_)


def open_session(
    act: Act, namespace: str, *, hash_: str, name: str, role: str, how: str, token_id: str | None,
    address: str | None, agent: str | None, lasts: timedelta = LASTS,
) -> None:  # fmt: skip
    """Begin a session, and forget those that have ended and the oldest part of the audit log."""
    act.tx.all(
        "insert_session", hash=hash_, id=act.new_id(), name=name, role=role, how=how, token_id=token_id,
        namespace=namespace, now=act.now, expires_at=act.now + lasts, address=address,
        agent=None if agent is None else agent[:200],
    )  # fmt: skip
    act.tx.all("delete_old_sessions", now=act.now, idle_since=act.now - IDLE)
    act.tx.all("delete_old_audit", before=first_id_at(act.now - AUDIT_KEPT))


def find_session(tx: Transaction, namespace: str, hash_: str, now: datetime) -> SessionFound | None:
    """The session with this hash, if it and its token are valid."""
    rows = tx.all("find_session", hash=hash_, namespace=namespace)
    if not rows:
        return None
    *columns, token_role, scopes, workflows, revoked_at, expires_at = rows[0]
    session = _session(tx, columns)
    if session.expires_at <= now or session.seen_at <= now - IDLE:
        return None
    if session.token_id is None:
        return SessionFound(session, session.role, None, None)
    ends = moment_of(tx, expires_at)
    if token_role is None or revoked_at is not None or (ends is not None and ends <= now):
        return None
    return SessionFound(session, token_role, _names(scopes), _names(workflows))


def see_session(act: Act, hash_: str) -> None:
    """Note that a session was used."""
    act.tx.all("see_session", hash=hash_, now=act.now, before=act.now - SEEN_EVERY)


def end_session(act: Act, hash_: str) -> None:
    """End a session: its person logged out."""
    act.tx.all("end_session", hash=hash_)


def end_session_of_id(act: Act, namespace: str, id_: str) -> None:
    """End another session. Raises ConfigError if there is none."""
    if not act.tx.all("end_session_of_id", id=id_, namespace=namespace):
        raise ConfigError(f"There is no session {id_!r}.")


def list_sessions(tx: Transaction, namespace: str, now: datetime) -> list[SessionInfo]:
    """The valid sessions, the one that was used last first."""
    return [
        _session(tx, row) for row in tx.all("list_sessions", namespace=namespace, now=now, idle_since=now - IDLE)
    ]  # fmt: skip


def write_audit(
    act: Act, namespace: str, *, action: str, ok: bool, actor: str | None = None, how: str | None = None,
    role: str | None = None, target: str | None = None, reason: str | None = None, address: str | None = None,
    request_id: str | None = None,
) -> None:  # fmt: skip
    """Write an entry of the audit log."""
    act.tx.all(
        "insert_audit", id=act.new_id(), now=act.now, actor=actor, how=how, role=role, action=action, target=target,
        ok=ok, reason=reason, address=address, request_id=request_id, namespace=namespace,
    )  # fmt: skip


def list_audit(
    tx: Transaction, namespace: str, *, actor: str | None = None, action: str | None = None, before: str | None = None,
    limit: int = 100,
) -> list[AuditInfo]:  # fmt: skip
    """Entries of the audit log, the newest first; `before` is the id of the last one of the page before."""
    if actor is not None:
        statement = "list_audit_of_actor"
    else:
        statement = "list_audit" if action is None else "list_audit_of_action"
    rows = tx.all(statement, namespace=namespace, actor=actor, action=action, before=before or _FIRST, limit=limit)
    return [AuditInfo(str(id_), known_moment(tx, at), actor_, how, role, act, target, bool(ok), *rest)
            for id_, at, actor_, how, role, act, target, ok, *rest in rows]  # fmt: skip


def count_refused_logins(tx: Transaction, address: str, since: datetime) -> int:
    """How many logins of an address were refused since then, up to 100."""
    return int(tx.all("count_refused_logins", address=address, since=since)[0][0])


def _token(tx: Transaction, row: Any) -> TokenInfo:
    id_, name, role, scopes, workflows, created_at, created_by, expires_at, used_at, revoked_at = row
    return TokenInfo(
        id_, name, role, _names(scopes), _names(workflows), known_moment(tx, created_at), created_by,
        moment_of(tx, expires_at), moment_of(tx, used_at), moment_of(tx, revoked_at),
    )  # fmt: skip


def _session(tx: Transaction, row: Any) -> SessionInfo:
    id_, name, role, how, token_id, created_at, seen_at, expires_at, address, agent = row
    return SessionInfo(
        id_, name, role, how, token_id, known_moment(tx, created_at), known_moment(tx, seen_at),
        known_moment(tx, expires_at), address, agent,
    )  # fmt: skip


def _text(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else msgspec.json.encode(names).decode()


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else msgspec.json.decode(text, type=tuple[str, ...])
