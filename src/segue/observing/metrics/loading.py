"""Loads the module that needs prometheus_client, when it is needed."""

from __future__ import annotations

from types import ModuleType

from segue.errors import ConfigError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of metrics as text."""


def prometheus_module() -> ModuleType:
    """The module that writes the metrics. Raises ConfigError if its library is not installed."""
    try:
        from segue.observing.metrics import prometheus  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise ConfigError("Metrics need prometheus_client. Install it: pip install 'segue[metrics]'.") from error
    return prometheus
