"""A frame differs from every value of a user's by its text alone, and nothing that a user gives becomes one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segue.authoring import decode, decode_result, encode
from segue.cli.start import value_of
from segue.errors import SerializationError
from segue.model import Gather, Hole, Mapping, Ref, Value
from segue.plan.codec import evaluate
from segue.plan.frames import OPENING, Frame, framed, has_frame, opened, read, unframed
from segue.plan.graph import KeyPart
from segue.plan.key_sources import key_from, key_text
from tests.property.kinds_of_values import JSON, LIKE_FRAMES

pytestmark = pytest.mark.unit

SEALED = framed("sealed", '{"at":[1,2]}')
NEWER = r'the kind "\$segue\.sealed".*a newer version'


def wrapped(text: str, path: list[str | int]) -> str:
    """The text of a value that holds this one at the end of a path."""
    for key in reversed(path):
        text = f'{{"a":1,{json.dumps(key)}:{text}}}' if isinstance(key, str) else f"[{'0,' * key}{text}]"
    return text


@given(st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True), JSON)
def test_what_is_framed_is_opened_and_refused_by_every_other_reader(kind: str, content: Any) -> None:
    text = framed(kind, encode(content))
    assert opened(text) == Frame(kind, encode(content))
    assert json.loads(text) == {f"$segue.{kind}": content}
    with pytest.raises(SerializationError, match=f'"\\$segue\\.{kind}"'):
        decode(text)


@given(st.lists(st.integers(0, 2) | st.text(st.characters(codec="utf-8"), max_size=3), max_size=4))
def test_a_frame_is_found_at_every_depth(path: list[str | int]) -> None:
    text = wrapped(SEALED, path)
    assert has_frame(text)
    assert (opened(text) is not None) == (not path)
    with pytest.raises(SerializationError, match=NEWER):
        read(text)


@example({"$segue.sealed": 1})
@example('{"\\u0024segue.sealed":1}')
@example(['{"', {"\\u0024segue.x": '\\{"\\u0024segue.'}])
@given(JSON)
def test_no_value_of_a_user_is_a_frame(value: Any) -> None:
    text = encode(value)
    assert not has_frame(text)
    assert opened(text) is None
    assert unframed(text) == text
    assert decode(text) == value


@pytest.mark.parametrize("wrap", [lambda raw: raw, lambda raw: [raw], lambda raw: {"a": (raw, "x" * 3000)}])
def test_raw_json_of_a_user_is_no_frame(wrap: Callable[[Any], Any]) -> None:
    text = encode(wrap(msgspec.Raw(SEALED.encode())))
    assert not has_frame(text)
    assert json.loads(text) == json.loads(encode(wrap({"$segue.sealed": {"at": [1, 2]}})))


@given(JSON)
def test_text_from_outside_keeps_its_value_and_loses_its_frames(value: Any) -> None:
    text = json.dumps([value, {"$segue.sealed": value}]).replace("$segue.", "\\u0024segue.")
    assert has_frame(text)
    assert not has_frame(unframed(text))
    assert json.loads(unframed(text)) == json.loads(text)


def test_a_word_of_the_command_line_is_a_value() -> None:
    assert value_of(SEALED) == value_of(f"[{SEALED}]")[0] == {"$segue.sealed": {"at": [1, 2]}}


def test_a_path_leads_into_no_frame_but_past_it() -> None:
    results = {0: f'{{"a":{SEALED},"$segue.sealed":[{{"$segue.x":2}}]}}'}
    assert evaluate(Ref(0, ("$segue.sealed", 0, "$segue.x")), results) == "2"
    assert evaluate(Ref(0, ("a",)), results) == SEALED
    for path in (("a", "$segue.sealed"), ("a", "at"), ("a", 0), ("a", "$segue.sealed", "at", 1)):
        with pytest.raises(SerializationError, match=NEWER):
            evaluate(Ref(0, path), results)


def test_a_text_that_is_passed_on_keeps_its_frames() -> None:
    whole = Mapping(("$segue.sealed", "b"), (Ref(0), Gather((Ref(0), Value(msgspec.Raw(b"1"))))))
    assert evaluate(whole, {0: SEALED}) == f'{{"$segue.sealed":{SEALED},"b":[{SEALED},1]}}'


def test_a_mapping_of_results_is_no_frame() -> None:
    text = evaluate(Mapping(("$segue.sealed",), (Ref(0),)), {0: "1"})
    assert decode(text) == {"$segue.sealed": 1}


def test_a_key_is_taken_from_no_frame() -> None:
    source = (KeyPart(places=((1, "order"),), path=("$segue.sealed",)),)
    assert key_from(source, '[[],{"order":{"$segue.sealed":"x"}}]', ()) == Value(msgspec.Raw(b'"x"'))
    with pytest.raises(SerializationError, match=NEWER):
        key_from(source, f'[[],{{"order":{SEALED}}}]', ())
    with pytest.raises(SerializationError, match=NEWER):
        key_from((KeyPart(places=((1, "order"),)),), f'[[],{{"order":[{SEALED}]}}]', ())
    assert isinstance(key_from(source, '[[],{"order":null}]', (Hole((1, "order"), Ref(0)),)), Gather)
    with pytest.raises(SerializationError, match=NEWER):
        key_text(SEALED)


@pytest.mark.parametrize("kind", ["", "Sealed", "a.b", "$segue", 'a"', "1a"])
def test_a_kind_is_a_word(kind: str) -> None:
    with pytest.raises(ValueError, match="kind of a frame"):
        framed(kind, "1")


@pytest.mark.parametrize("content", ["", "{", "1}", "1,2", "[" * 9000])
def test_a_content_is_json(content: str) -> None:
    with pytest.raises(ValueError, match="content of a frame"):
        framed("sealed", content)


@pytest.mark.parametrize("rest", ["", 'a":1', 'a":1,"b":2}', 'a":1}}', 'a" 1}'])
def test_a_frame_that_is_damaged_is_refused(rest: str) -> None:
    with pytest.raises(SerializationError, match="begins as a frame"):
        opened(OPENING + rest)


def test_a_typed_reader_refuses_a_frame() -> None:
    for annotation in (dict, dict[str, Any], Any, list[int], int):
        with pytest.raises(SerializationError, match=NEWER):
            decode_result(annotation, SEALED)


@given(LIKE_FRAMES)
def test_keys_like_those_of_frames_come_up(value: Any) -> None:
    assert "segue." in encode(value)
