"""Pages as a person without a browser sees them: their HTML, its size, and the statements that they cost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from segue import Segue
from segue.store.postgres_transaction import PostgresTransaction
from segue.store.sqlite_transaction import SqliteTransaction
from segue.web import Identity, Role, create_app

_TAG = re.compile(r"<[a-zA-Z]")
_FORM = re.compile(r"<form\b[^>]*>.*?</form>", re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


def visitor(segue: Segue, role: Role | str = Role.ADMIN, **options: Any) -> TestClient:
    """Somebody who looks at pages, and has a role."""
    role = Role[role.upper()] if isinstance(role, str) else role
    app = create_app(segue, identify=lambda request: Identity("ann", role), **options)
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


def elements(html: str) -> int:
    """The number of elements of a page."""
    return len(_TAG.findall(html))


def hidden_fields(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that is sent there."""
    for form in _FORM.findall(html):
        if f'action="{action}"' in form:
            return {name: value.replace("&#39;", "'").replace("&amp;", "&") for name, value in _HIDDEN.findall(form)}
    raise AssertionError(f"no form is sent to {action}")


@contextmanager
def counted_statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the statements that are executed inside the block."""
    found: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(SqliteTransaction, "all", _counting(SqliteTransaction.all, found))  # `later` calls it
        patched.setattr(PostgresTransaction, "later", _counting(PostgresTransaction.later, found))  # `all` calls it
        yield found


def _counting(method: Any, found: list[str]) -> Any:
    def called(transaction: Any, statement: str, **parameters: Any) -> Any:
        found.append(statement)
        return method(transaction, statement, **parameters)

    return called
