"""Canvases become plans: worked out by hand, without a broker, every plan has the value that Celery documents."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chain, chord, group, signature
from celery.result import AsyncResult, GroupResult
from hypothesis import given
from hypothesis import strategies as st

from segue import Segue
from segue.authoring import encode
from segue.errors import ConfigError, DefinitionError, PlanError, SerializationError
from segue.executors.celery import install, plan_of, wait_for
from segue.executors.celery.codec import decode_arguments, dumps, encode_arguments, encode_result, loads
from segue.executors.celery.publish import HEADER, StepHeader, header_of
from segue.model import Hole, JoinRule, Ref
from segue.plan.codec import encode_holes, evaluate
from segue.plan.frames import framed
from segue.plan.graph import Plan
from tests.property.kinds_of_values import LIKE_FRAMES


@pytest.fixture(scope="module")
def app() -> Iterator[Celery]:
    app = Celery("plans", broker="memory://", backend="cache+memory://")
    install(app, Segue("sqlite:///never-opened.db"))

    @app.task(name="add", shared=False)
    def add(x: Any, y: Any) -> Any:
        return x + y

    @app.task(name="total", shared=False)
    def total(values: list[Any]) -> Any:
        return sum(value if isinstance(value, int) else total(value) for value in values)

    @app.task(name="same", shared=False)
    def same(value: Any = None) -> Any:
        return value

    yield app
    app.close()


def value_of(app: Celery, plan: Plan) -> Any:
    """What the plan's result would be: each step is called with the arguments that a worker would get."""
    values: dict[int, str] = {}
    for number, node in enumerate(plan.nodes):
        if node.rule is JoinRule.SOME_FAILED:
            continue
        assert all(parent < number for parent in node.parents)
        assert set(values) >= set(node.parents)
        args, kwargs = decode_arguments(node.args, encode_holes(node.holes), values)
        assert node.task is not None
        values[number] = dumps(app.tasks[node.task.removeprefix("celery:")](*args, **kwargs), "the result")
    return None if plan.result is None else loads(evaluate(plan.result, values))


def test_the_shapes_of_celerys_guide_have_their_values(app: Celery) -> None:
    add, total, same = (app.tasks[name] for name in ("add", "total", "same"))
    shapes = [
        (add.s(2, 2), 4),
        (chain(add.s(4, 4), add.s(8)), 16),
        (add.s(4, 4) | add.s(8) | add.si(1, 1), 2),
        (chain(add.s(1, 2)), 3),
        (group(add.s(number, number) for number in range(4)), [0, 2, 4, 6]),
        (group(), []),
        (chord((add.s(number, number) for number in range(10)), total.s()), 90),
        (chord([], total.s()), 0),
        (chord([add.s(1, 1)], same.s()), [2]),
        (chain(add.s(1, 1), group(add.s(number) for number in range(3))), [2, 3, 4]),
        (chain(add.s(1, 1), group([add.s(1)]), add.s(1)), 4),  # a group of one in a chain is its member
        (group(add.s(1, 1), add.s(2, 2)) | total.s() | add.s(10), 16),
        (chain(group(add.s(1, 1), add.s(2, 2)), group(total.s(), same.s())), [6, [2, 4]]),
        (group(chain(add.s(1, 1), add.s(1)), chain(add.s(2, 2), add.s(2))), [3, 6]),
        (chord([chain(add.s(1, 1), group(add.s(1), add.s(2))), add.s(5, 5)], same.s()), [[3, 4], 10]),
        (chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(5, 5)], total.s()), 16),
        (chord([add.s(1, 1), add.s(2, 2)], chord([total.s(), total.s()], total.s())), 12),
        (chain(chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(1), add.s(1)), 8),
        (same.s(value={"deep": [1, {"x": None}]}), {"deep": [1, {"x": None}]}),
        (add.starmap([(1, 2), (3, 4)]), None),
    ]
    for canvas, expected in shapes[:-1]:
        serialized = loads(dumps(canvas, "the canvas"))
        assert value_of(app, plan_of(canvas)) == expected, canvas
        assert value_of(app, plan_of(signature(serialized, app=app))) == expected, canvas


@given(LIKE_FRAMES)
def test_values_like_frames_are_the_users_in_every_message(value: Any) -> None:
    args, holes = encode_arguments((value, [value]), {"$segue.x": value}, "an argument")
    assert decode_arguments(args, encode_holes(holes), {}) == ([value, [value]], {"$segue.x": value})
    assert loads(encode_result(value)) == value
    filled = encode_holes((Hole((0, 0), Ref(0)),))
    assert decode_arguments("[[null],{}]", filled, {0: encode(value)}) == ([value], {})


def test_no_message_carries_a_frame() -> None:
    for text in (framed("sealed", "1"), f'{{"a":[{framed("sealed", "1")}]}}'):
        with pytest.raises(SerializationError, match="newer version"):
            decode_arguments("[[null],{}]", encode_holes((Hole((0, 0), Ref(0)),)), {0: text})
        with pytest.raises(SerializationError, match="newer version"):
            decode_arguments(f"[[{text}],{{}}]", None, {})


@st.composite
def canvases(draw: st.DrawFn, depth: int = 3) -> tuple[str, Any]:
    """A description of a canvas that takes a value: ("add", 3), ("chain", [...]), ("fan", [...])."""
    kind = draw(st.sampled_from(["add", "chain", "fan"] if depth else ["add"]))
    if kind == "add":
        return "add", draw(st.integers(0, 9))
    return kind, draw(st.lists(canvases(depth - 1), min_size=2, max_size=3))


def built(app: Celery, described: tuple[str, Any]) -> Any:
    kind, parts = described
    if kind == "add":
        return app.tasks["add"].s(parts)
    inner = [built(app, part) for part in parts]
    return chain(*inner) if kind == "chain" else chord(inner, app.tasks["total"].s())


def expected_of(described: tuple[str, Any], value: int) -> int:
    kind, parts = described
    if kind == "add":
        return value + int(parts)
    if kind == "chain":
        for part in parts:
            value = expected_of(part, value)
        return value
    return sum(expected_of(part, value) for part in parts)


@given(canvases(), st.integers(0, 100))
def test_any_nesting_of_chains_and_chords_has_its_value(app: Celery, described: tuple[str, Any], value: int) -> None:
    canvas = chain(app.tasks["same"].s(value), built(app, described))
    assert value_of(app, plan_of(canvas)) == expected_of(described, value)


def test_values_keep_the_types_that_celerys_json_keeps(app: Celery) -> None:
    moment = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
    assert value_of(app, plan_of(app.tasks["same"].s({"at": moment, "raw": b"\x00\xff"}))) == {
        "at": moment, "raw": b"\x00\xff",
    }  # fmt: skip


def test_ids_and_options_are_kept(app: Celery) -> None:
    first = app.tasks["add"].s(1, 1).set(task_id="one", queue="fast", priority=3, expires=60, headers={"tenant": "a"})
    plan = plan_of(chain(first, app.tasks["add"].s(1).set(countdown=5)))
    assert plan.nodes[0].handle == "one"
    assert plan.nodes[0].queue == "@celery:fast"
    spec = loads(plan.nodes[0].spec or "")
    assert (spec["priority"], spec["expires"], spec["headers"]) == (3, 60, {"tenant": "a"})
    assert plan.nodes[1].delay == 5.0


def test_an_eta_is_the_time_of_the_step(app: Celery) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    assert plan_of(app.tasks["add"].s(1, 1).set(eta=at)).nodes[0].run_at == at


def test_applying_gives_celerys_result_objects(app: Celery) -> None:
    from segue.executors.celery.door import door_of
    from segue.executors.celery.plans import plan_of_canvas

    add = app.tasks["add"]
    plan, result = plan_of_canvas(door_of(app), chain(add.s(1, 1), add.s(2)))
    assert isinstance(result, AsyncResult)
    assert [node.handle for node in plan.nodes] == [result.parent.id, result.id]
    plan, result = plan_of_canvas(door_of(app), group(add.s(1, 1), add.s(2, 2)))
    assert isinstance(result, GroupResult)
    assert [node.handle for node in plan.nodes] == [each.id for each in result.results]


def test_an_error_callback_watches_the_whole_header_of_a_chord(app: Celery) -> None:
    add, total, same = (app.tasks[name] for name in ("add", "total", "same"))
    plan = plan_of(chord([chain(add.s(1, 1), add.s(1)), add.s(2, 2)], total.s().on_error(same.si("failed"))))
    [errback] = [node for node in plan.nodes if node.rule is JoinRule.SOME_FAILED]
    assert [plan.nodes[parent].task for parent in errback.parents] == ["celery:add"] * 3 + ["celery:total"]
    assert errback.handle is None


def test_arguments_that_do_not_fit_a_later_task_fail_that_step_and_not_the_start(app: Celery) -> None:
    plan = plan_of(chain(app.tasks["same"].s(1), app.tasks["add"].s(1, 2), app.tasks["same"].s()))
    assert "positional" in loads(plan.nodes[1].spec or "")["error"]
    assert len(plan.nodes) == 3
    with pytest.raises(TypeError):
        plan_of(app.tasks["add"].s(1))


@pytest.mark.parametrize("value", [object(), {1, 2}.__iter__(), lambda: None])
def test_what_celerys_json_cannot_hold_is_refused_with_the_task(app: Celery, value: Any) -> None:
    with pytest.raises(PlanError, match="same"):
        plan_of(app.tasks["same"].s(value))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"deep": [1.5, (math.inf, None)], "s": "NaN"}])
def test_floats_that_json_has_no_words_for_are_kept_and_what_is_stored_is_json(app: Celery, value: Any) -> None:
    plan = plan_of(app.tasks["same"].s(value))
    json.loads(plan.nodes[0].args, parse_constant=lambda word: pytest.fail(f"{word} is stored"))
    found = value_of(app, plan)
    assert repr(found).replace("[inf, None]", "(inf, None)") == repr(value)


@pytest.mark.parametrize("serializer", ["pickle", "yaml", "msgpack"])
def test_a_task_whose_messages_are_not_json_is_refused(app: Celery, serializer: str) -> None:
    @app.task(name=f"of_{serializer}", shared=False, serializer=serializer)
    def of_another_kind(value: Any = None) -> Any:
        return value

    for canvas in (of_another_kind.s(1) | app.tasks["same"].s(), app.tasks["same"].s(1).set(serializer=serializer)):
        with pytest.raises(PlanError, match=f"its messages are {serializer}.*serializer='json'"):
            plan_of(canvas)


def test_a_task_of_an_app_that_is_not_connected_is_refused(app: Celery) -> None:
    other = Celery("other", set_as_current=False)

    @other.task(name="lonely", shared=False)
    def lonely() -> None:
        pass

    with pytest.raises(ConfigError, match="install"):
        plan_of(lonely.si())
    with pytest.raises(PlanError, match="of the Celery app 'other'"):
        plan_of(chain(app.tasks["same"].s(1), lonely.si()))


@pytest.mark.parametrize(
    "given, said",
    [
        ({"app": object()}, "no Celery app"), ({"segue": "sqlite:///x.db"}, "no segue.Segue"),
        ({"canvas": "yes"}, "durable"), ({"fence": "maybe"}, "always"),
    ],
)  # fmt: skip
def test_install_refuses_what_it_cannot_use(given: dict[str, Any], said: str) -> None:
    fine = {"app": Celery("fine", set_as_current=False), "segue": Segue("sqlite:///never-opened.db")}
    with pytest.raises(ConfigError, match=said):
        install(**{**fine, **given})


def test_a_wait_in_a_canvas_is_a_step_of_the_engine(app: Celery) -> None:
    add = app.tasks["add"]
    plan = plan_of(chain(add.s(1, 2), wait_for("approved", timeout=60, default=4), add.s(10)))
    first, wait, last = plan.nodes
    assert (first.executor, wait.executor, last.executor) == ("celery", None, "celery")
    assert (wait.task, wait.args) == ("segue.wait_for", '[["approved"], {"timeout": 60.0, "default": 4}]')
    assert (wait.parents, wait.holes, last.parents) == ((0,), (), (1,))


def test_a_wait_may_be_anywhere_in_a_canvas(app: Celery) -> None:
    add, total = app.tasks["add"], app.tasks["total"]
    plan = plan_of(chord([add.s(1, 2), wait_for("number"), add.s(3, 4) | wait_for("other")], total.s()))
    assert sorted(node.task or "" for node in plan.nodes) == [
        "celery:add", "celery:add", "celery:total", "segue.wait_for", "segue.wait_for",
    ]  # fmt: skip


def test_a_wait_takes_no_options_of_a_message(app: Celery) -> None:
    with pytest.raises(PlanError, match="countdown"):
        plan_of(app.tasks["add"].s(1, 2) | wait_for("approved").set(countdown=3))
    with pytest.raises(DefinitionError, match="letters"):
        wait_for("")


def test_a_step_waits_on_the_queue_that_its_routing_key_is_bound_to(app: Celery) -> None:
    app.amqp.queues.add("mail", exchange="post", routing_key="letters")
    one = app.tasks["same"].s(1).set(exchange="post", routing_key="letters")
    [node] = plan_of(one).nodes
    assert node.queue == "@celery:mail"
    [elsewhere] = plan_of(app.tasks["same"].s(1).set(exchange="other", routing_key="parcels")).nodes
    assert elsewhere.queue == "@celery:parcels"


@pytest.mark.parametrize(
    "header",
    [
        ["run", "3", 1, 2.0],
        [None, 3, 1, 2.0],
        ["run", 3, 1, "soon"],
        ["run", 3, 1, 2.0, ["x"]],
        ["run", 3, 1, 2.0, 7],
        ["run", 3, 1],
        "run",
    ],
)
def test_a_damaged_header_is_of_no_step(header: Any) -> None:
    assert header_of({HEADER: header}) is None
    assert header_of({HEADER: ["run", 3, 1, 2.0, [1], 1]}) == StepHeader(("run", 3, 1), 2.0, (1,), holds_places=True)
