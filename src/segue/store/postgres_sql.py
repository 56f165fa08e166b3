"""Named statements in the form that each of PostgreSQL's two interfaces needs.

The wire needs `$1`, `$2` ... and values in order. An adopted connection, which may come from any driver, needs
`%(name)s`. In both, `:batch` becomes the rows of a batch, one array for each column. For a long batch, every column can
instead be one value, the same in all rows.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from segue.store import named

_ONE_ROW = "one row of "
_PARAMETER = re.compile(r"(?<!:):([a-z_]\w*)")


class Compiled(NamedTuple):
    """A statement for both interfaces, whether it returns rows, and the columns of its batch."""

    text: str  # with $1 ...
    order: tuple[str, ...]  # the parameters for $1 ...
    named: str  # with %(name)s
    returns: bool
    columns: tuple[str, ...]


def for_one_row(statement: str) -> str:
    """What `compiled` calls a batch statement for a single row: neither side need make arrays for it."""
    return _ONE_ROW + statement


@cache
def compiled(statement: str, *, is_long: bool = False) -> Compiled:
    """The statement called `statement`. With `is_long`, the parameter `same_NAME` replaces the array of a column."""
    text, columns = named.load("postgres")[statement.removeprefix(_ONE_ROW)]
    returns = text.startswith(("SELECT", "WITH")) or " RETURNING " in text
    names = tuple(name for name, _ in columns)
    if columns and statement.startswith(_ONE_ROW):
        values = ", ".join(f":{name}::{kind} AS {name}" for name, kind in columns)
        text = text.replace(":batch", f"(SELECT {values}) AS o")
    elif columns:
        arrays = ", ".join(f":{name}::{kind}[]" for name, kind in columns)
        batch = f"unnest({arrays}) AS o({', '.join(names)})"
        if is_long:  # `unnest` fills in NULL where there is no array
            either = ", ".join(f"coalesce({name}, :same_{name}::{kind}) AS {name}" for name, kind in columns)
            batch = f"(SELECT {either} FROM {batch}) AS o"  # noqa: S608 - names of columns
        text = text.replace(":batch", batch)
    order = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    numbered = _PARAMETER.sub(lambda found: f"${order.index(found[1]) + 1}", text)
    return Compiled(numbered, order, _PARAMETER.sub(r"%(\1)s", text), returns, names)
