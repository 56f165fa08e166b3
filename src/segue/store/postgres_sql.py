"""Named statements as PostgreSQL's two interfaces want them.

The wire takes `$1`, `$2` ... and values in order; an adopted connection, which may be any driver's, `%(name)s`. In both
`:batch` becomes the rows of a batch, one array for each column.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from segue.store import named

_PARAMETER = re.compile(r"(?<!:):([a-z_]\w*)")


class Compiled(NamedTuple):
    """A statement for both interfaces, whether it returns rows, and the columns of its batch."""

    text: str  # with $1 ...
    order: tuple[str, ...]  # the parameters for $1 ...
    named: str  # with %(name)s
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
    order = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    numbered = _PARAMETER.sub(lambda found: f"${order.index(found[1]) + 1}", text)
    return Compiled(numbered, order, _PARAMETER.sub(r"%(\1)s", text), returns, names)
