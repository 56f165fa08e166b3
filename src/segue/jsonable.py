"""What Segue returns is ready for JSON: values with `to_dict()`, which FastAPI and pydantic take as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, ClassVar

import msgspec


class Jsonable:
    """Mixed into a `msgspec.Struct`: a value that has `to_dict()`. `dict(value)` is the same.

    FastAPI returns such values from endpoints, and takes their classes as `response_model`. They may be fields of
    pydantic models. pydantic is imported only by programs that use it.
    """

    __slots__ = ()
    __struct_fields__: ClassVar[tuple[str, ...]]

    shown_as: ClassVar[dict[str, Any]] = {}
    """The types of fields that `shown` returns in another form."""

    def to_dict(self) -> dict[str, Any]:
        """Its fields by name, ready for `json.dumps`: times are ISO 8601 in UTC, and enums are their values.

        Example::

            json.dumps([step.to_dict() for step in run.steps()])
        """
        return {name: _plain(value) for name, value in self.shown().items()}

    def shown(self) -> dict[str, Any]:
        """Its fields as Python values."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.to_dict().items())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # noqa: PLC0415 - pydantic itself calls this

        fields = {
            field.name: core_schema.typed_dict_field(
                handler.generate_schema(cls.shown_as.get(field.name, field.type)), required=field.required
            )
            for field in msgspec.structs.fields(cls)  # type: ignore[arg-type]
        }
        # Under its reference it becomes a component of OpenAPI documents.
        shape = core_schema.typed_dict_schema(fields, ref=f"{cls.__module__}.{cls.__name__}")
        written = core_schema.plain_serializer_function_ser_schema(_shown, return_schema=shape)
        return core_schema.no_info_wrap_validator_function(_checked, shape, serialization=written)


def _checked(value: Any, check: Callable[[Any], Any]) -> Any:
    """For pydantic: a value of ours as it is. A dict of the same form stays a dict."""
    return value if isinstance(value, Jsonable) else check(value)


def _shown(value: Any) -> Any:
    return value.shown() if isinstance(value, Jsonable) else value


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case Enum():
            return value.value
        case str():
            return value
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Jsonable():
            return value.to_dict()
        case Mapping():
            return {str(_plain(name)): _plain(each) for name, each in value.items()}
        case _:
            return [_plain(each) for each in value]
