"""`segue observe`: what Grafana and Prometheus read to show and watch the metrics."""

from __future__ import annotations

import click

from segue.cli.printing import print_json, print_line
from segue.observing.metrics.alerts import rules_as_yaml
from segue.observing.metrics.dashboard import dashboard


@click.group(short_help="Print a dashboard and alert rules.")
def command() -> None:
    """Print a dashboard for Grafana, or alert rules for Prometheus, for the metrics of this version.

    \b
    Example:
      segue observe grafana > segue.json       then import it in Grafana
      segue observe alerts > segue-rules.yaml  then name it under rule_files of Prometheus
    """


@command.command("grafana")
def grafana() -> None:
    """Print a dashboard for Grafana as JSON. Import it in Grafana; it asks which Prometheus to read.

    \b
    Example:
      segue observe grafana > segue.json
    """
    print_json(dashboard())


@command.command("alerts")
def alerts() -> None:
    """Print alert rules for Prometheus as YAML. Name the file under rule_files of Prometheus.

    \b
    Example:
      segue observe alerts > segue-rules.yaml
    """
    print_line(rules_as_yaml().rstrip())
