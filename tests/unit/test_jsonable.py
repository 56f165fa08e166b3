"""What Segue returns becomes JSON, and goes through FastAPI and pydantic as it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel, TypeAdapter, ValidationError

from segue.client import views
from segue.client.listed import listed
from segue.client.selection import Applied
from segue.engine.views.look import RunInfo, StepInfo
from segue.jsonable import Jsonable
from segue.model import ErrorInfo, FailureInfo, RunStatus, StepStatus
from segue.observing.observers import Event

AT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
ERROR = ErrorInfo("ValueError", "no number")
RUN = RunInfo(
    "01a2", "shop.nightly", None, RunStatus.FAILED, None, 3, FailureInfo("load", "ValueError", "no number"), AT, AT,
    None, tags=("a", "b"), metadata={"customer": {"id": 42}}, arguments=[["2026-11-20"], {}],
)  # fmt: skip
STEP = StepInfo(
    1, -1, "load", "shop.load", False, StepStatus.RUNNING, None, "default", 5, None, 1, 0, 0, "all_succeeded", 0,
    (2, 3), None, ERROR, '{"retries":2}', "w1", AT, None, 0.5, views.ProgressInfo(1.0, 4.0, "", 2.0, 1.5, AT),
    "worker", AT, "running", False,
)  # fmt: skip
RETURNED = [getattr(views, name) for name in views.__all__ if isinstance(getattr(views, name), type)]


def test_everything_that_is_returned_has_it() -> None:
    structs = [kind for kind in (*RETURNED, Applied, Event, ErrorInfo) if issubclass(kind, msgspec.Struct)]
    assert len(structs) > 15
    assert [kind for kind in structs if not issubclass(kind, Jsonable)] == []
    for kind in structs:
        schema = TypeAdapter(kind).json_schema(mode="serialization")
        assert set(schema["properties"]) == set(kind.__struct_fields__)


def test_a_dict_is_ready_for_json() -> None:
    found = json.loads(json.dumps([RUN.to_dict(), STEP.to_dict()]))
    assert found == [RUN.to_dict(), STEP.to_dict()]
    run, step = found
    assert run["created_at"] == "2026-11-20T08:30:00+00:00"
    assert run["status"] == "failed"
    assert run["error"] == {"step": "load", "type": "ValueError", "message": "no number"}
    assert (run["tags"], run["metadata"]) == (["a", "b"], {"customer": {"id": 42}})
    assert (step["scope"], step["policy"], step["children"]) == (None, {"retries": 2}, [2, 3])
    assert step["error"] == {"type": "ValueError", "message": "no number", "traceback": ""}
    assert step["progress"]["updated_at"] == "2026-11-20T08:30:00+00:00"
    assert dict(RUN) == RUN.to_dict()


def test_a_listed_run_shows_its_fields_only() -> None:
    found = listed(object(), RUN)  # type: ignore[arg-type]
    assert found.to_dict() == RUN.to_dict()
    assert msgspec.json.encode(found) == msgspec.json.encode(RUN)
    assert "object" not in repr(found)


def test_fastapi_encodes_it() -> None:
    assert jsonable_encoder({"run": RUN, "steps": [STEP]}) == {"run": RUN.to_dict(), "steps": [STEP.to_dict()]}


class Page(BaseModel):
    runs: list[RunInfo]
    step: StepInfo | None = None


def test_it_is_a_field_of_a_pydantic_model() -> None:
    page = Page(runs=[RUN], step=STEP)
    assert page.runs[0] is RUN
    found = json.loads(page.model_dump_json())
    assert found == json.loads(json.dumps(found))
    assert found["runs"][0]["created_at"] == "2026-11-20T08:30:00Z"
    assert found["step"]["policy"] == {"retries": 2}
    assert page.model_dump()["runs"][0]["created_at"] == AT
    assert {"RunInfo", "StepInfo", "FailureInfo"} <= Page.model_json_schema()["$defs"].keys()


def test_pydantic_refuses_what_has_another_form() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(RunInfo)
    assert adapter.validate_python(RUN.to_dict())["id"] == "01a2"
    with pytest.raises(ValidationError, match="workflow"):
        adapter.validate_python({"id": "01a2"})
