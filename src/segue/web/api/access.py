"""Who may use these pages: tokens, sessions, the audit log, and who one is."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from segue.client.views import AuditInfo, SessionInfo, TokenInfo
from segue.web.access.token_limits import check_new_token
from segue.web.api.given import Limit, Text
from segue.web.operations import Call, operation
from segue.web.roles import Role

MOST_DAYS = 36_500


class Me(msgspec.Struct):
    """Who makes the request, and what they may do."""

    name: str
    role: str
    how: str  # how we know: local, token, session, oidc, proxy or host
    scopes: list[str] | None
    workflows: list[str] | None


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """A token to make. `expires_days` is how long it is valid; without it, until it is revoked."""

    name: Text
    role: Literal["viewer", "operator", "admin"] = "viewer"
    expires_days: Annotated[float, msgspec.Meta(gt=0, le=MOST_DAYS)] | None = None
    scopes: list[Text] | None = None
    workflows: list[Text] | None = None


class MadeToken(msgspec.Struct):
    """A new token. It is shown only here."""

    token: str


class Nothing(msgspec.Struct):
    """An answer without content."""


class AuditQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which entries of the audit log."""

    actor: Text | None = None
    action: Text | None = None
    before: Text | None = None
    limit: Limit = 100


class AuditPage(msgspec.Struct):
    """Entries of the audit log, and where the next page begins."""

    items: list[AuditInfo]
    next: str | None


@operation("GET", "/me", Role.VIEWER)
def get_me(call: Call) -> Me:
    """Who makes this request."""
    who = call.identity
    return Me(
        who.name, who.role.word, who.how, None if who.scopes is None else sorted(who.scopes),
        None if who.workflows is None else list(who.workflows),
    )  # fmt: skip


@operation("GET", "/tokens", Role.ADMIN)
def list_tokens(call: Call) -> list[TokenInfo]:
    """List the access tokens, without their secrets."""
    return call.segue.access.tokens()


@operation("POST", "/tokens", Role.ADMIN, status=201)
def create_token(call: Call, body: NewToken) -> MadeToken:
    """Make an access token. The answer is the only place where it is shown.

    A token that is limited makes only tokens that are limited as much.
    """
    check_new_token(call.identity, body.scopes, body.workflows)
    return MadeToken(
        call.segue.access.create_token(
            body.name, role=body.role, scopes=body.scopes, workflows=body.workflows, created_by=call.actor,
            expires=None if body.expires_days is None else timedelta(days=body.expires_days),
        )
    )  # fmt: skip


@operation("DELETE", "/tokens/{token_id}", Role.ADMIN, is_destructive=True)
def revoke_token(call: Call, token_id: str) -> Nothing:
    """Revoke an access token, and end the sessions that began with it."""
    call.segue.access.revoke_token(token_id)
    return Nothing()


@operation("GET", "/sessions", Role.ADMIN)
def list_sessions(call: Call) -> list[SessionInfo]:
    """List the sessions of browsers."""
    return call.segue.access.sessions()


@operation("DELETE", "/sessions/{session_id}", Role.ADMIN, is_destructive=True)
def end_session(call: Call, session_id: str) -> Nothing:
    """End a session: its person has to log in again."""
    call.segue.access.end_session(session_id)
    return Nothing()


@operation("GET", "/audit", Role.ADMIN)
def list_audit(call: Call, query: AuditQuery) -> AuditPage:
    """List the audit log, the newest entries first."""
    limit = query.limit
    found = call.segue.access.audit(actor=query.actor, action=query.action, before=query.before, limit=limit)
    return AuditPage(found, found[-1].id if len(found) == limit else None)
