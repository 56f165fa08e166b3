"""Links to the systems that have traces and logs."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from segue import Segue, task
from segue.errors import ConfigError
from segue.observing.tracing import ids
from segue.web.outward import Outward
from segue.worker.inline import work_run
from tests.contract.web.browsing import visitor

pytestmark = pytest.mark.contract

TRACE = "https://tempo.example.org/trace/{trace_id}?span={span_id}"
LOGS = "https://logs.example.org/?a=1&q={run}|{step}|{attempt}&from={from}&to={to}"


@task(name="outward.fails", retries=1, retry_delay=0)
def fails() -> None:
    raise ValueError("no")


def hrefs(html: str) -> list[str]:
    return [each.replace("&amp;", "&") for each in re.findall(r'class="outward" href="([^"]*)"', html)]


def test_a_run_a_step_and_each_attempt_have_links(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_TRACE_URL", TRACE)
    monkeypatch.setenv("SEGUE_LOG_URL", LOGS)
    run = segue.start(fails.options(name='a&from=1"<b>|'))
    work_run(segue.engine, run.id)
    web = visitor(segue)
    trace, logs = hrefs(web.get(f"/runs/{run.id}").text)
    assert f"/trace/{ids.trace_id(run.id):032x}?" in trace
    name = run.step(0).info().name
    said: list[Any] = [parse_qs(urlsplit(logs).query)]
    found = hrefs(web.get(f"/runs/{run.id}/steps/0").text)
    assert len(found) == 6  # of the step and of two attempts
    said += [parse_qs(urlsplit(each).query) for each in found[1::2]]
    assert [each["q"] for each in said] == [
        [f"{run.id}{rest}"] for rest in ("||", f"|{name}|2", f"|{name}|2", f"|{name}|1")
    ]
    assert all(list(each) == ["a", "q", "from", "to"] and len(each["from"]) == 1 for each in said)
    assert found[-2].endswith(f"{ids.attempt_span_id(run.id, 0, 1):016x}")


@pytest.mark.parametrize(
    "address", ["javascript:alert({run})", "//x/{run}", "https://{run}/", "https://x/{password}", "https://[", "x"]
)
def test_addresses_that_are_not_of_the_web_are_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        Outward({"SEGUE_LOG_URL": address})
