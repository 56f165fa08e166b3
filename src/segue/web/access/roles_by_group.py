"""The role of a person, from the groups that an identity provider or a proxy names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from segue.errors import ConfigError
from segue.web.roles import Role, role_named


class GroupRoles:
    """Which group has which role, and the role of people who are in none of them.

    Example::

        GroupRoles.parsed("ops=operator,platform=admin", default="viewer")
    """

    def __init__(self, roles: Mapping[str, Role], default: Role | None) -> None:
        self._roles, self._default = dict(roles), default

    @classmethod
    def parsed(cls, text: str | None, *, default: str | None = "viewer") -> GroupRoles:
        """From "group=role,group=role". A `default` of "none" keeps out people who are in none. Raises ConfigError."""
        roles: dict[str, Role] = {}
        try:
            for part in filter(None, (each.strip() for each in (text or "").split(","))):
                group, equals, role = part.rpartition("=")
                if not equals or not group:
                    raise ValueError(f"{part!r} is not GROUP=ROLE.")
                roles[group.strip()] = role_named(role.strip())
            fallback = None if default in (None, "none") else role_named(str(default))
        except ValueError as error:
            raise ConfigError(f"The roles of groups cannot be read: {error}") from error
        return cls(roles, fallback)

    def role_of(self, groups: Iterable[str]) -> Role | None:
        """The highest role of these groups; None: this person may not enter."""
        found = [self._roles[group] for group in groups if group in self._roles]
        return max(found) if found else self._default
