"""The JSON Schema of an annotation accepts what `encode` writes of its values, and nothing that is not read as one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from segue.authoring.describing.schema import Schema, SchemaWriter
from segue.authoring.shapes import MisfitError
from segue.authoring.values import Converters, decode, encode, shape_of
from segue.errors import SerializationError
from tests.property.kinds_of_values import JSON, KINDS, Kind

pytestmark = pytest.mark.property

EXAMPLES = 10 * settings.default.max_examples  # examples are small and quick

quick = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
FORMATS = Draft202012Validator.FORMAT_CHECKER


def schema_of(annotation: Any) -> Schema:
    """As it is written for the result of a function."""
    writer = SchemaWriter()
    schema = writer.of(shape_of(annotation))
    return {**schema, "$defs": writer.defs}


def accepts(schema: Schema, plain: Any) -> bool:
    Draft202012Validator.check_schema(schema)
    return bool(Draft202012Validator(schema, format_checker=FORMATS).is_valid(plain))


def is_taken(annotation: Any, value: Any) -> bool:
    """Whether a task with this annotation may be given the value."""

    def fn(x: Any) -> None: ...

    fn.__annotations__["x"] = annotation
    try:
        return not Converters(fn).find_changed(None, [value], {})
    except SerializationError:
        return False


@st.composite
def plain_values(draw: st.DrawFn, kind: Kind) -> Any:
    """Plain JSON that is like values of a kind, or not at all."""
    way = draw(st.sampled_from(["any", "other", "altered", "altered"]))
    if way == "any":
        return draw(JSON)
    of = draw(KINDS) if way == "other" else kind
    try:
        plain = decode(encode(draw(of.values)))
    except SerializationError:
        return draw(JSON)
    return _altered(draw, plain) if way == "altered" else plain


def as_schemas_see_it(plain: Any) -> Any:
    """To JSON Schema 1.0 is the integer 1, while Segue writes, and reads, a float as one."""
    if isinstance(plain, float):
        return int(plain) if plain.is_integer() else plain
    if isinstance(plain, list):
        return [as_schemas_see_it(item) for item in plain]
    return {key: as_schemas_see_it(item) for key, item in plain.items()} if isinstance(plain, dict) else plain


def _altered(draw: st.DrawFn, plain: Any) -> Any:
    """With one part of it changed, taken away or added."""
    if isinstance(plain, list) and plain and draw(st.booleans()):
        index = draw(st.integers(0, len(plain) - 1))
        return [*plain[:index], _altered(draw, plain[index]), *plain[index + 1 :]]
    if isinstance(plain, dict) and plain and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(plain)))
        return {**plain, key: _altered(draw, plain[key])}
    if isinstance(plain, list):
        return draw(st.sampled_from([plain[:-1], [*plain, draw(JSON)], draw(JSON)]))
    if isinstance(plain, dict):
        gone = draw(st.sampled_from(sorted(plain))) if plain else ""
        less = {key: item for key, item in plain.items() if key != gone}
        return draw(st.sampled_from([less, {**plain, draw(st.text(max_size=3)): draw(JSON)}, draw(JSON)]))
    if isinstance(plain, str) and draw(st.booleans()):
        return plain + draw(st.sampled_from(["x", "Z", "0", "=", " "]))
    return draw(JSON)


@quick
@given(KINDS, st.data())
def test_what_encode_writes_is_accepted(kind: Kind, data: st.DataObject) -> None:
    value = data.draw(kind.values)
    if is_taken(kind.annotation, value):
        assert accepts(schema_of(kind.annotation), decode(encode(value)))
    else:
        assert not kind.is_certain


@quick
@given(KINDS, st.data())
def test_what_is_accepted_can_be_read(kind: Kind, data: st.DataObject) -> None:
    """So what cannot be read as the annotation is refused: values of other kinds, and plain JSON of any sort."""
    plain = as_schemas_see_it(data.draw(plain_values(kind)))
    if not accepts(schema_of(kind.annotation), plain):
        return
    try:
        shape_of(kind.annotation).read(plain)
    except MisfitError as misfit:
        pytest.fail(f"{plain!r} is accepted for {kind.annotation}, and not read: {misfit.why}")
