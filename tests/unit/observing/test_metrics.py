"""The registry of metrics, and what is made of it: text for Prometheus, a dashboard, alert rules."""

from __future__ import annotations

import re

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from segue.observing.metrics import registry
from segue.observing.metrics.alerts import rules, rules_as_yaml
from segue.observing.metrics.dashboard import COLUMNS, dashboard
from segue.observing.metrics.labels import MOST_VALUES, OTHER, Cap
from segue.observing.metrics.prometheus import PrometheusMeter, text_of
from segue.observing.metrics.registry import METRICS, Kind, Metric, Source

pytestmark = pytest.mark.unit

BY_SERIES = {series: metric for metric in METRICS for series in metric.series}
FUNCTIONS = {"sum", "max", "count", "rate", "increase", "histogram_quantile", "by", "unless"}
OF_THE_SCRAPE = {"instance"}
VARIABLES = {"$__rate_interval"}


def expressions() -> list[str]:
    shown = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return shown + [rule.expression for rule in rules()]


def named_in(expression: str) -> set[str]:
    """The series that an expression reads."""
    return set(re.findall(r"\bsegue_\w+", expression))


def labels_in(expression: str) -> set[str]:
    """The labels by which it groups and selects."""
    groups = [label.strip() for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split(",")]
    return set(groups) | set(re.findall(r"(\w+)=~?\"", expression))


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_series_that_exist_with_labels_that_they_have(expression: str) -> None:
    series = named_in(expression)
    assert series
    assert series <= BY_SERIES.keys()
    known = {label for name in series for label in BY_SERIES[name].labels} | OF_THE_SCRAPE
    if any(name.endswith("_bucket") for name in series):
        known |= {"le"}
    assert labels_in(expression) <= known
    words = set(re.findall(r"[a-z_]+(?= ?\()", expression))
    assert words - series <= FUNCTIONS
    assert expression.count("(") == expression.count(")")


def test_a_histogram_is_read_through_its_buckets_and_a_counter_through_a_rate() -> None:
    for expression in expressions():
        for name in named_in(expression):
            if BY_SERIES[name].kind != Kind.GAUGE:
                assert re.search(rf"(rate|increase)\({name}", expression), expression


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {BY_SERIES[name] for panel in dashboard()["panels"] for target in panel["targets"]
             for name in named_in(target["expr"])}  # fmt: skip
    assert {metric.name for metric in METRICS} - {metric.name for metric in shown} == set()


def test_the_panels_do_not_lie_on_each_other() -> None:
    panels = dashboard()["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS for panel in panels)


def test_the_rules_are_a_file_that_prometheus_reads() -> None:
    [group] = yaml.safe_load(rules_as_yaml())["groups"]
    assert [rule["alert"] for rule in group["rules"]] == [rule.name for rule in rules()]
    assert [rule["expr"] for rule in group["rules"]] == [rule.expression for rule in rules()]
    for rule in group["rules"]:
        assert re.fullmatch(r"\d+[smh]", rule["for"])
        shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert shown <= labels_in(rule["expr"])


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"segue_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") is (metric.kind == Kind.COUNTER)
    if metric.kind == Kind.HISTOGRAM:
        assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.source == Source.PROCESS or metric.kind == Kind.GAUGE
    assert not {"run", "run_id", "key", "worker", "message", "host"} & set(metric.labels)


def test_names_are_there_once() -> None:
    assert len(BY_SERIES) == sum(len(metric.series) for metric in METRICS)


def test_a_label_has_so_many_values_and_then_others(caplog: pytest.LogCaptureFixture) -> None:
    cap = Cap()
    values = [cap.of("task", f"task-{number}") for number in range(MOST_VALUES + 50)]
    assert values[:MOST_VALUES] == [f"task-{number}" for number in range(MOST_VALUES)]
    assert set(values[MOST_VALUES:]) == {OTHER}
    assert cap.of("task", "task-0") == "task-0"
    assert cap.of("queue", "another") == "another"
    assert cap.capped == {"task": 50}
    assert [record.getMessage().split()[2] for record in caplog.records] == ["task"]


def test_a_thousand_tasks_do_not_fill_the_memory_of_prometheus() -> None:
    meter = PrometheusMeter(CollectorRegistry())
    for number in range(1000):
        meter.add(registry.ATTEMPTS, f"task-{number}", "default", "succeeded")
    [attempts] = [family for family in meter.registry.collect() if family.name == "segue_attempts"]
    counts = {sample.labels["task"]: sample.value for sample in attempts.samples if sample.name.endswith("_total")}
    assert len(counts) == MOST_VALUES + 1
    assert counts[OTHER] == 1000 - MOST_VALUES
    [capped] = [family for family in meter.registry.collect() if family.name == "segue_label_values_capped"]
    assert [(sample.labels["label"], sample.value) for sample in capped.samples] == [("task", 1000 - MOST_VALUES)]


def test_gauges_are_asked_when_they_are_read_and_summed_and_one_that_fails_is_left_out() -> None:
    meter = PrometheusMeter(CollectorRegistry())
    size = 3.0

    def broken() -> float:
        raise RuntimeError("not now")

    ends = [
        meter.ask(registry.PLACES, "default", value=lambda: size),
        meter.ask(registry.PLACES, "mail", value=broken),
    ]
    second = meter.ask(registry.PLACES, "default", value=lambda: 4.0)

    def read() -> dict[str, float]:
        [places] = [family for family in meter.registry.collect() if family.name == "segue_places"]
        return {sample.labels["queue"]: sample.value for sample in places.samples}

    assert read() == {"default": 7.0}
    size = 1.0
    assert read() == {"default": 5.0}
    second()
    assert read() == {"default": 1.0}
    for end in ends:
        end()
    assert read() == {}


def test_hostile_names_stay_in_their_label() -> None:
    name = 'a"} 1\nsegue_evil_total 1\n\\'
    text = text_of([(registry.READY, (name,), 2.0)]).decode()
    [family] = list(text_string_to_metric_families(text))
    assert [(sample.name, sample.labels, sample.value) for sample in family.samples] == [
        ("segue_ready_steps", {"queue": name}, 2.0)
    ]
