"""Which database the commands use, and its tables."""

from __future__ import annotations

import os
import re

from segue.client import Segue
from segue.errors import ConfigError

VARIABLE = "SQL_ALCHEMY_CONNECTION"
_DRIVER = re.compile(r"^(postgres(?:ql)?|sqlite)\+\w+://")
_OTHER = re.compile(r"^(mysql|mariadb|oracle|mssql)[+:]")


def database_of(connection: str | None) -> str | None:
    """A connection string of SQLAlchemy as Segue writes it; None: SEGUE_DATABASE_URL. Raises ConfigError."""
    given = connection or os.environ.get(VARIABLE)
    if not given:
        return None
    if _OTHER.match(given):
        kind = given.partition(":")[0]
        raise ConfigError(f"{kind} is no database for Segue. Give postgresql://user@host/name or sqlite:///file.db.")
    found = _DRIVER.sub(r"\1://", given)
    return f"postgresql://{found.removeprefix('postgres://')}" if found.startswith("postgres://") else found


def opened(connection: str | None) -> Segue:
    """The database; close it after use. Raises ConfigError if none is named."""
    try:
        return Segue(database_of(connection))
    except ConfigError as error:
        if connection or os.environ.get(VARIABLE) or os.environ.get("SEGUE_DATABASE_URL"):
            raise
        raise ConfigError(
            f"No database was named. Give --sql-alchemy-connection postgresql://user@host/name, or set {VARIABLE}."
        ) from error


def init_db(connection_string: str | None = None) -> list[int]:
    """Make or update the tables; again does nothing. Returns the numbers of the migrations."""
    with opened(connection_string) as segue:
        return segue.upgrade()


migrate_db = init_db
