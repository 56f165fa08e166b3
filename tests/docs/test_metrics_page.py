"""docs/metrics.md names every metric of the registry, with its type and labels, and its queries read what exists."""

from __future__ import annotations

import re

import yaml

from segue.observing.metrics.labels import MOST_VALUES
from segue.observing.metrics.registry import METRICS, Metric, Source
from segue.scheduler.standing import FRESH_SECONDS, MOST
from tests.docs.pages import DOCS, blocks, doc, rows
from tests.docs.test_reference import section

SECTIONS = {Source.PROCESS: "## What a process counts", Source.DATABASE: "## How things stand"}


def told() -> dict[str, tuple[Source, list[str]]]:
    """The metrics of the tables: their source, and the cells behind the name."""
    found = {}
    for source, heading in SECTIONS.items():
        for row in rows(section("metrics", heading)):
            for name in re.findall(r"`(segue_\w+)`", row[0]):
                found[name] = (source, row[1:])
    return found


def test_every_metric_is_in_its_table() -> None:
    found = told()
    assert found.keys() == {metric.name for metric in METRICS}
    for metric in METRICS:
        source, cells = found[metric.name]
        assert source == metric.source, metric.name
        labels = cells[1] if source == Source.PROCESS else cells[0]
        assert [word.strip() for word in labels.split(",") if word.strip()] == list(metric.labels), metric.name
        if source == Source.PROCESS:
            assert cells[0] == metric.kind, metric.name


def test_the_figures_are_those_of_the_code() -> None:
    text = " ".join(doc("metrics").split())
    assert f"For {FRESH_SECONDS:g} seconds all others read" in text
    assert f"end at {MOST:,}" in text
    assert f"A label has {MOST_VALUES} values at most" in text


def test_the_query_for_keda_reads_metrics_that_exist() -> None:
    [block] = blocks(DOCS / "metrics.md", "yaml")
    [trigger] = yaml.safe_load(block.text)["spec"]["triggers"]
    known: dict[str, Metric] = {metric.name: metric for metric in METRICS}
    asked = re.findall(r"(segue_\w+)\{(\w+)=", trigger["metadata"]["query"])
    assert len(asked) == 2
    assert all(label in known[name].labels for name, label in asked)
