"""Adapters that a program may have registered for its own connections. Segue's statements must not go through them."""

from __future__ import annotations

from typing import Any

from psycopg.adapt import Loader
from psycopg.types.string import StrDumper


class Shouting(StrDumper):
    def dump(self, obj: Any) -> bytes:
        return str(obj).upper().encode()


class Nonsense(Loader):
    def load(self, data: Any) -> str:
        return "nonsense"
