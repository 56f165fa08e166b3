"""Traces of runs for OpenTelemetry: `install` switches them on in this process, `flush` sends what waits.

switch.py      what the code asks: is there tracing? and the calls that it makes then
ids.py         the ids of traces and spans, made of those of runs and attempts
spans.py       the spans; the only module that imports opentelemetry
installing.py  switches it on
"""

from segue.observing.tracing.installing import flush, install, uninstall

__all__ = ["flush", "install", "uninstall"]
