"""A reference to a payload is passed on by expressions, with the path into it, and is opened only by its reader."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from segue.authoring import decode
from segue.errors import SerializationError
from segue.model import Concat, Gather, Mapping, Ref, Span
from segue.plan.codec import evaluate, follow
from segue.plan.frames import framed, opened, read
from segue.plan.payload_frames import PayloadRef, is_true_unread, payload_of, payloads_in, read_through

pytestmark = pytest.mark.unit

WHOLE = {"rows": [{"id": 1}, {"id": 2}], "name": "big", "none": None}
REF = PayloadRef("ab/abcd.20000", "abcd", 1234)
ODD = PayloadRef('a "quoted" \\ reference ]}', "ef", 99)


def fetch(payload: PayloadRef) -> str:
    assert payload.reference in (REF.reference, ODD.reference)
    text = msgspec.json.encode(WHOLE).decode()
    return follow(text, payload.path, "the payload") if payload.path else text


def through(text: str) -> Any:
    return read_through(text, decode, fetch)


@pytest.mark.parametrize("ref", [REF, ODD, REF._replace(path=("rows", 1)), ODD._replace(path=("a ]}", -1))])
def test_a_reference_comes_back(ref: PayloadRef) -> None:
    frame = opened(ref.text)
    assert frame is not None
    assert payload_of(frame) == ref
    assert payloads_in(f'[1,{{"a":{ref.text}}},{ref.text}]') == [ref._replace(path=())]


def test_a_users_dict_is_no_reference() -> None:
    text = msgspec.json.encode([{"$segue.payload": ["r", "d", 1]}]).decode()
    assert payloads_in(text) == []
    assert through(text) == [{"$segue.payload": ["r", "d", 1]}]


def test_a_path_into_it_stays_with_it() -> None:
    values = {0: REF.text, 1: f'{{"deep":[{REF.text}]}}', 2: "7"}
    part = evaluate(Ref(0, ("rows", 1)), values)
    assert payload_of(opened(part)) == REF._replace(path=("rows", 1))  # type: ignore[arg-type]
    assert through(part) == {"id": 2}
    assert through(evaluate(Ref(1, ("deep", 0, "rows", 0, "id")), values)) == 1
    again = evaluate(Ref(5, ("id",)), {5: part})  # a join whose result is a part
    assert through(again) == 2


def test_expressions_pass_it_on() -> None:
    values = {0: REF.text, 1: "[2]", 2: REF.text}
    expr = Mapping(("all", "some"), (Span(0, 2), Gather((Ref(0, ("name",)), Ref(1)))))
    assert through(evaluate(expr, values)) == {"all": [WHOLE, [2], WHOLE], "some": ["big", [2]]}
    with pytest.raises(SerializationError, match="lies in a payload store"):
        evaluate(Concat((Ref(1), Ref(0))), values)


def test_who_cannot_open_it_says_so() -> None:
    for text in (REF.text, f"[{REF.text}]"):
        for reader in (read, decode):
            with pytest.raises(SerializationError, match=r"lies in a payload store.*abcd\.20000"):
                reader(text)


@pytest.mark.parametrize(
    "text, truth",
    [
        (REF.text, True),
        (f"[{REF.text}]", True),
        (f'{{"a":{REF.text}}}', True),
        (REF._replace(path=("none",)).text, None),
    ],
)
def test_the_truth_value(text: str, truth: bool | None) -> None:
    assert is_true_unread(text) is truth


def test_other_kinds_are_refused() -> None:
    sealed = framed("sealed", "1")
    for text in (sealed, f"[{sealed},{REF.text}]"):
        with pytest.raises(SerializationError, match="newer version"):
            through(text)
        with pytest.raises(SerializationError, match="newer version"):
            is_true_unread(text)


@pytest.mark.parametrize(
    "content", ['"text"', "[]", '["r","d"]', '["r","d",-1.5]', '["r","d",1,[],2]', '["r","d",1,3]']
)
def test_a_damaged_reference_is_refused(content: str) -> None:
    with pytest.raises(SerializationError, match="damaged"):
        through(framed("payload", content))


def test_a_path_that_does_not_exist_names_the_payload() -> None:
    with pytest.raises(SerializationError, match=r"the payload was asked for \['rows'\]\[7\]"):
        through(evaluate(Ref(0, ("rows", 7)), {0: REF.text}))
