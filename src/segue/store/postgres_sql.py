"""Named statements as psycopg wants them: `:name` becomes `%(name)s`, and `:batch` the rows of a batch."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from segue.store import named

_PARAMETER = re.compile(r"(?<!:):([a-z_]\w*)")


class Compiled(NamedTuple):
    """What to execute, whether it returns rows, and the columns of its batch."""

    text: str
    returns: bool
    columns: tuple[str, ...]


@cache
def compiled(statement: str) -> Compiled:
    """The statement called `statement`."""
    text, columns = named.load("postgres")[statement]
    returns = text.startswith(("SELECT", "WITH")) or " RETURNING " in text
    names = tuple(name for name, _ in columns)
    if columns:
        arrays = ", ".join(f":{name}::{kind}[]" for name, kind in columns)
        text = text.replace(":batch", f"unnest({arrays}) AS o({', '.join(names)})")
    return Compiled(_PARAMETER.sub(r"%(\1)s", text), returns, names)
