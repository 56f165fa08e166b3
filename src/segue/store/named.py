"""Reads the named statements in `statements/*.sql`: the common ones first, then those with which a dialect overrides
them.

`area.sql` is for every dialect, `area.sqlite.sql` and `area.postgres.sql` for one; `sqlite.sql` and
`postgres.sql` are those of the turn.

A statement starts with `-- name: <name>`; its first comment says why it looks as it does. A batch statement also has
`-- columns: a int, b text`: the fields of a row. Parameters are written `:name` in every dialect. `{name}` inserts the
text of another statement, which may be a mere fragment.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from segue.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

DIALECTS = ("sqlite", "postgres")

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COLUMNS = re.compile(r"^-- columns: (.+)$", re.MULTILINE)
_INCLUDED = re.compile(r"\{(\w+)\}")
_COMMENT = re.compile(r"--[^\n]*")


class Statement(NamedTuple):
    """A statement without its comments, and the (name, type) of each field of its rows."""

    sql: str
    columns: tuple[tuple[str, str], ...]


@cache
def load(dialect: str) -> dict[str, Statement]:
    """Every statement of `dialect`, by name."""
    statements: dict[str, Statement] = {}
    for of_a_dialect in (False, True):
        layer: dict[str, Statement] = {}
        for file in _files(dialect if of_a_dialect else None):
            found = _parse(file.read_text(encoding="utf-8"), file.name)
            twice = found.keys() & layer.keys()
            if twice:
                raise StoreError(f"{file.name} defines {', '.join(sorted(twice))}, which another file already defines.")
            layer.update(found)
        statements.update(layer)
    return {name: Statement(_included(found.sql, statements), found.columns) for name, found in statements.items()}


def _files(dialect: str | None) -> list[Path]:
    """The files of one dialect, or the files for every dialect."""
    from pathlib import Path  # noqa: PLC0415 - takes a millisecond; not needed before a database is

    folder = Path(__file__).parent / "statements"
    kinds = {path: path.name.removesuffix(".sql").rpartition(".")[2] for path in sorted(folder.glob("*.sql"))}
    return [path for path, kind in kinds.items() if (kind if kind in DIALECTS else None) == dialect]


def _included(sql: str, statements: dict[str, Statement]) -> str:
    return _INCLUDED.sub(lambda name: _included(statements[name[1]].sql, statements), sql)


def _parse(text: str, file: str) -> dict[str, Statement]:
    parts = _NAME.split(text)
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise StoreError(f"{file} defines two statements of the same name. Rename one.")
    found = {}
    for name, body in zip(names, bodies, strict=True):
        header = _COLUMNS.search(body)
        columns = tuple((c, t) for c, t in (p.split() for p in header[1].split(","))) if header else ()
        found[name] = Statement(" ".join(_COMMENT.sub("", body).split()).rstrip("; "), columns)
    return found
