"""Who makes a request, and what they may do."""

from __future__ import annotations

import unicodedata
from enum import IntEnum

import msgspec


class Role(IntEnum):
    """What a person or program may do. A higher role includes the lower ones."""

    VIEWER = 1
    """Sees everything except secrets and the audit log."""

    OPERATOR = 2
    """Also starts and controls runs, answers approvals, and runs schedules by hand."""

    ADMIN = 3
    """Also changes schedules, limits, subscriptions and retention, and gives access."""

    @property
    def word(self) -> str:
        """Its name in lower case, as people write it."""
        return self.name.lower()


def role_named(word: str) -> Role:
    """The role of this name. Raises ValueError."""
    try:
        return Role[word.upper()]
    except KeyError:
        raise ValueError(f"{word!r} is no role. There are viewer, operator and admin.") from None


class Identity(msgspec.Struct, frozen=True):
    """Who makes a request.

    Example::

        Identity("ann", Role.OPERATOR)
        Identity("ann", "operator")  # the same
    """

    name: str
    role: Role
    how: str = "host"  # how we know: 'local', 'token', 'session', 'oidc', 'proxy' or 'host'
    scopes: frozenset[str] | None = None  # the operations to which a token is limited; None: all that its role may do
    workflows: tuple[str, ...] | None = None  # patterns of the workflows that a token may start and control; None: all
    credential: str | None = None  # the id of the token or session

    def __post_init__(self) -> None:
        role: object = self.role
        if isinstance(role, str):
            msgspec.structs.force_setattr(self, "role", role_named(role))
        msgspec.structs.force_setattr(self, "name", _storable(self.name))

    @property
    def is_ambient(self) -> bool:
        """Whether browsers send what identifies them by themselves, so that another site could make them act."""
        return self.how != "token"


def _storable(name: str) -> str:
    """A name as databases and pages take it: control characters and halves of characters are written as in Python."""
    if name.isprintable():
        return name
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in ("Cc", "Cs") else each for each in name
    )
